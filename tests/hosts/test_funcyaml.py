"""Reading a func.yaml as Fn's command line reads it."""

import json
import time
from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.hosts.funcfile import FuncFile, read_func_file

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

TEXTS = {
    "schema_version": "20180708",
    "name": "forecast",
    "version": "0.0.1",
    "entrypoint": "/python/bin/fdk /function/func.py handler",
    "memory": "128",
    "empty": "",
}
CONFIG = {
    "GP_SERVER_URL": "",
    "GREETING": "hello # world",
    "QUOTED": 'a "b" \\ c\n',
    "URL": "http://host:9000/a#b",
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_yaml(tmp_path: Path, end: str) -> None:
    file = tmp_path / "func.yaml"
    file.write_bytes(TEXT.replace("\n", end).encode())
    found = read_func_file(file)
    assert (found.texts, found.config) == (TEXTS, CONFIG)
    assert found.lines["memory"] == 7


def read(tmp_path: Path, text: str) -> FuncFile:
    file = tmp_path / "func.yaml"
    file.write_text(text)
    return read_func_file(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0123", "0123"),
        ("ON", "ON"),
        ("12:30", "12:30"),
        ("1e3", "1e3"),
        ("2026-11-28", "2026-11-28"),
        ("~", ""),
        ("null", ""),
        ("'null'", "null"),
        ("", ""),
        ("plain text, 'with' \"quotes\"", "plain text, 'with' \"quotes\""),
        ("'it''s'", "it's"),
        (r'"a\u00e4\x41\t\/\e"', "a\xe4A\t/\x1b"),
        ("|\n    one\n    two\n", "one\ntwo\n"),
        (">-\n    one\n    two\n", "one two"),
        ("one\n    two", "one two"),
        ("a#b # c", "a#b"),
        ("*shared", "of the anchor"),
        ("!!str null", "null"),
        ("!!str 0123", "0123"),
        ("!!binary aGk=", "hi"),
        ("0o17", "0o17"),
        ("yes", "yes"),
        (".inf", ".inf"),
        ("1_000", "1_000"),
    ],
)
def test_a_scalar_is_the_text_that_fn_has(tmp_path: Path, text: str, value: str) -> None:
    found = read(tmp_path, f"title: &shared of the anchor\nconfig:\n  A: {text}\n  B: b\n")
    assert found.config == {"A": value, "B": "b"}


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("config: {A: x, 'B': 07, C: , \"D\": [not, text][0]}", None),
        ("config: {A: x, 'B': 07, C: , \"D\": y}", {"A": "x", "B": "07", "C": "", "D": "y"}),
        ("config: {}", {}),
        ("config:", {}),
        ("a: &a {A: 1, B: 2}\nconfig:\n  <<: *a\n  B: 3", {"A": "1", "B": "3"}),
        ("a: &a {A: 1}\nb: &b {A: 2, B: 2}\nconfig:\n  <<: [*a, *b]", {"A": "1", "B": "2"}),
        ("{name: f, config: {A: x}}", {"A": "x"}),
        (
            "a: &a {A: 1}\nb: &b {<<: *a, B: 2}\nconfig: {<<: *b, C: 3}",
            {"A": "1", "B": "2", "C": "3"},
        ),
        ("config: {'<<': x}", {"<<": "x"}),
        ("? config\n: A: x\n", {"A": "x"}),
    ],
)
def test_maps_as_yaml_writes_them(tmp_path: Path, text: str, config: dict[str, str] | None) -> None:
    if config is None:
        with pytest.raises(SetupError, match="line 1"):
            read(tmp_path, text)
    else:
        assert read(tmp_path, text).config == config


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing\n").texts == {}


LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "line 5: nested too deeply, or too many aliases"),
        ("a: " + "[" * 5000, "line 1: nested too deeply"),
        ("a: " + "{a: " * 5000, "line 1: nested too deeply"),
        ("".join(f"{' ' * n}a:\n" for n in range(500)), "nested too deeply"),
        ("a: x\n" * 100_000, "over 262144 bytes"),
        ("config: &a\n  A: *a\n", "line 1: expected text"),
        ("config:\n  A: [1]\n", "line 2: expected text"),
        ("config: [1]\n", "line 1: expected config to be a map"),
        ("name: f\nmemory: 1\nname: g\n", "line 3: name is there twice"),
        ("config:\n  A: 1\n  A: 1\n", "line 3: A is there twice"),
        ("name: f\n---\nname: g\n", "line 2: but found another document"),
        ("a: &a {<<: *a}\nconfig: {<<: *a}\n", "line 1: merged into itself"),
        ("config: {<<: x}\n", "line 1: expected a map to merge"),
        ("config:\n  A=B: x\n", "line 2: config: expected a variable's name, got 'A=B'"),
        ("config:\n  'A B': x\n", "line 2: config: expected a variable's name"),
        ('config:\n  "A\\nB": x\n', "line 2: config: expected a variable's name"),
        ('config:\n  A: "x\\0y"\n', "line 2: config: A has a NUL"),
        ("config:\n  A: !!binary '#'\n", "line 2: expected text in base64"),
        ("a: *absent\n", "line 1: found undefined alias"),
        ("a: 'x\n", "line 2: found unexpected end of stream"),
        ("a:\n\t- b\n", "line 2: found character"),
        ("- a\n- b\n", "line 1: expected key: value"),
        ("a: \x00\n", "unacceptable character"),
    ],
)
def test_what_is_refused_is_refused_at_once(tmp_path: Path, text: str, says: str) -> None:
    began = time.monotonic()
    with pytest.raises(SetupError, match=says) as caught:
        read(tmp_path, text)
    assert time.monotonic() - began < 2
    assert str(caught.value).startswith(f"{tmp_path}/func.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, codec: str) -> None:
    (tmp_path / "func.yaml").write_bytes("name: f\nconfig: {A: ä}\n".encode(codec))
    found = read_func_file(tmp_path / "func.yaml")
    assert (found.texts, found.config) == ({"name": "f"}, {"A": "ä"})


def test_maps_are_merged_once_however_often_they_are_named(tmp_path: Path) -> None:
    merges = "".join(
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 2)}]}}\n" for n in range(1, 15)
    )
    pairs = "".join(f"  k{n}: v\n" for n in range(15_000))
    began = time.monotonic()
    found = read(tmp_path, f"m0: &m0\n{pairs}{merges}config: {{<<: *m14}}\n")
    assert len(found.config) == 15_000
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name: "x\\"\\nRUN echo pwned"', "line 1: name: expected a name of letters"),
        ("name: $(id)", "line 1: name: expected a name"),
        ("name: -x", "line 1: name: expected a name"),
        ("version: '1 2'", "line 1: version: expected a version"),
        ('content_type: "a/b\\r\\nX: y"', "line 1: content_type: expected a media type"),
    ],
)
def test_texts_that_go_into_other_files(tmp_path: Path, text: str, says: str) -> None:
    found = read(tmp_path, f"{text}\n")
    with pytest.raises(SetupError, match=says):
        getattr(found, text.partition(":")[0])


def test_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, "name: f\nmemory: lots\ntimeout: 0\n")
    assert found.whole("timeout", 30) == 30
    assert found.whole("absent", 7) == 7
    with pytest.raises(SetupError, match=r"func\.yaml: line 2: memory: expected a whole number"):
        found.whole("memory", 128)
    with pytest.raises(SetupError, match="line 1: memory: expected decimal digits, got '0200'"):
        read(tmp_path, "memory: 0200\n").whole("memory", 128)


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "func.json"
    file.write_text(json.dumps({"name": "f", "memory": 64, "config": {"A": 1}, "triggers": []}))
    found = read_func_file(file)
    assert (found.texts, found.config) == ({"name": "f", "memory": "64"}, {"A": "1"})
    file.write_text('{"version": 1.50, "a": true, "b": null, "config": null}')
    found = read_func_file(file)
    assert (found.texts, found.config) == ({"version": "1.50", "a": "true", "b": ""}, {})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("func.yaml", b"name: f\nnonsense\n", "line 2: expected key: value"),
        ("func.yaml", b"\xff\xfe\x00", "cannot be read"),
        ("func.yaml", b"\xe4\n", "cannot be read"),
        ("func.json", b'{"config": {"A=B": 1}}', "expected a variable's name, got 'A=B'"),
        ("func.json", b"{", "not JSON"),
        ("func.json", b"[]", "expected an object"),
        ("func.json", b'{"a": 1, "a": 2}', "a is there twice"),
        ("func.json", b'{"config": {"A": []}}', "config to be an object of texts"),
        ("func.json", b"[" * 100_000, "not JSON"),
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
        assert read_func_file(file).text("schema_version") == "20180708"
