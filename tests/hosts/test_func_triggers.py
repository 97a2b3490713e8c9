"""The triggers and the annotations of a func.yaml, as Fn's command line reads them."""

from pathlib import Path

import pytest

from gpfn.errors import SetupError
from gpfn.hosts.funcfile import FuncFile, FuncTrigger, read_func_file

YAML = """\
name: echo2
annotations:
  example.org/owner: me
  example.org/text: "12"
  example.org/many: [1, 2.5, true, null, {a: b}]
triggers:
- name: echo2
  type: http
  source: /echo2
- {name: other, source: /other, ignored: [1]}
"""
JSON = """\
{"name": "echo2",
 "annotations": {"example.org/owner": "me", "example.org/text": "12",
                 "example.org/many": [1, 2.5, true, null, {"a": "b"}]},
 "triggers": [{"name": "echo2", "type": "http", "source": "/echo2"},
              {"name": "other", "source": "/other", "ignored": [1]}]}
"""


def read(folder: Path, text: str, name: str = "func.yaml") -> FuncFile:
    file = folder / name
    file.write_text(text)
    return read_func_file(file)


@pytest.mark.parametrize(("text", "name"), [(YAML, "func.yaml"), (JSON, "func.json")])
def test_triggers_and_annotations(tmp_path: Path, text: str, name: str) -> None:
    found = read(tmp_path, text, name)
    echo, other = FuncTrigger("echo2", "http", "/echo2"), FuncTrigger("other", "", "/other")
    assert found.triggers == (echo, other)
    assert found.annotations == {
        "example.org/owner": "me",
        "example.org/text": "12",
        "example.org/many": [1, 2.5, True, None, {"a": "b"}],
    }
    assert "triggers" not in found.texts


@pytest.mark.parametrize("text", ["triggers:\nannotations: ~\n", "name: a\n"])
def test_none_of_them(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert (found.triggers, dict(found.annotations)) == ((), {})


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("triggers: {name: a}", "func.yaml", "line 1: expected triggers to be a list"),
        ("triggers:\n- a", "func.yaml", "line 2: expected a trigger to be a map"),
        ("triggers:\n- name: [a]", "func.yaml", "line 2: expected text"),
        ("annotations: [a]", "func.yaml", "line 1: expected annotations to be a map"),
        ('{"triggers": {}, "name": "a", "x": 1}', "func.json", None),
        ('{"triggers": {"name": "a"}}', "func.json", "expected triggers to be a list of objects"),
        ('{"triggers": [{"name": []}]}', "func.json", "expected a trigger to have texts"),
        ('{"annotations": [1]}', "func.json", "expected annotations to be an object"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, name: str, problem: str | None) -> None:
    if problem is None:
        assert read(tmp_path, text, name).triggers == ()
        return
    with pytest.raises(SetupError, match=problem):
        read(tmp_path, text, name)


def test_aliases_make_no_large_value_of_a_small_file(tmp_path: Path) -> None:
    lines = ["annotations:", "  a0: &a0 [x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 14)]
    with pytest.raises(SetupError, match="expected 1000 values at most"):
        read(tmp_path, "\n".join(lines))
    with pytest.raises(SetupError, match="1000 values at most, 20 deep"):
        read(tmp_path, "annotations: &a {b: *a}")
