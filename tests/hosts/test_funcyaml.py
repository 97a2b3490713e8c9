"""Reading what Fn's command line writes into a func.yaml."""

import json
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.hosts.target import FuncFile, read_func_file

TEXT = """\
# a comment
---
schema_version: 20180708
name: forecast   # the name
version: "0.0.1"
entrypoint: /python/bin/fdk /function/func.py handler
memory: 128
config:
  GP_SERVER_URL: ""
  # inside
  GREETING: 'hello # world'
  "QUOTED": "a \\"b\\" \\\\ c\\n"
  URL: http://host:9000/a#b
empty:
triggers:
- name: forecast
  type: http
  source: /forecast
build:
  - one
  - two
"""

EXPECTED: FuncFile = {
    "schema_version": "20180708",
    "name": "forecast",
    "version": "0.0.1",
    "entrypoint": "/python/bin/fdk /function/func.py handler",
    "memory": "128",
    "config": {
        "GP_SERVER_URL": "",
        "GREETING": "hello # world",
        "QUOTED": 'a "b" \\ c\n',
        "URL": "http://host:9000/a#b",
    },
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_yaml(tmp_path: Path, end: str) -> None:
    file = tmp_path / "func.yaml"
    file.write_bytes(TEXT.replace("\n", end).encode())
    found = read_func_file(file)
    assert {name: found[name] for name in EXPECTED} == EXPECTED


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "func.json"
    file.write_text(json.dumps({"name": "f", "memory": 64, "config": {"A": 1}, "triggers": []}))
    assert read_func_file(file) == {"name": "f", "memory": "64", "config": {"A": "1"}}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("func.yaml", b"name: f\nnonsense\n", "line 2: expected key: value"),
        ("func.yaml", b"\xff\xfe", "cannot be read"),
        ("func.json", b"{", "not JSON"),
        ("func.json", b"[]", "expected an object"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SetupError, match=says):
        read_func_file(tmp_path / name)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read_func_file(tmp_path / "func.yaml")


def test_every_func_yaml_of_the_repository(root: Path) -> None:
    files = [root / "func.yaml", *sorted((root / "functions").glob("*/func.yaml"))]
    assert len(files) > 1
    for file in files:
        assert read_func_file(file)["schema_version"] == "20180708"
