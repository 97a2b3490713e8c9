"""Which functions a folder has, and what is told of the others."""

from pathlib import Path

import pytest

from gpfn.local.folders import LocalFunction, Readings, survey_folder
from tests.conftest import ROOT

CODE = "from gpfn import function\n"


def make(folder: Path, text: str, code: str | None = CODE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "func.yaml").write_text(text)
    if code is not None:
        (folder / "func.py").write_text(code)
    return folder


BAD = {
    "name: [\n": "line 2",
    "- a\n- b\n": "expected key: value",
    "version: 0.0.1\n": "name: is missing",
    "name: a/b\n": "no slashes",
    "name: 'a b'\n": "expected a name of letters",
    "name: a\nmemory: 102400\n": "line 2: memory: Fn takes at most 8192 MB, got 102400",
    "name: a\nmemory: 100GB\n": "line 2: memory",
    "name: a\ntimeout: 301\n": "timeout: Fn takes at most 300 seconds",
    "name: a\nidle_timeout: 3601\n": "idle_timeout: Fn takes at most 3600 seconds",
    "name: a\ntimeout: -1\n": "line 2: timeout",
    "name: a\ntriggers:\n- {name: a, type: http, source: a}\n": "a source begins with /",
    "name: a\ntriggers:\n- {type: http, source: /a}\n": "line 3: triggers: the trigger 1 has no",
    "name: a\ntriggers:\n- {name: a, type: kafka, source: /a}\n": "type: http, got 'kafka'",
    "name: a\ntriggers:\n" + "- {name: a, type: http, source: /a}\n" * 2: "is there twice",
    "name: a\ntriggers: [a]\n": "expected a trigger to be a map",
    "name: a\nentrypoint: /python/bin/fdk /function/gone.py handler\n": "no such function",
    "name: " + "x" * 300 + "\n": "expected a name of letters",
}


def test_the_functions_of_this_repository_count_once() -> None:
    survey = survey_folder(ROOT)
    assert [one.name for one in survey.functions] == [
        "add", "classify", "digits", "download", "forecast", "multiply", "prepare",
    ]  # fmt: skip
    assert not survey.refused
    forecast = next(one for one in survey.functions if one.name == "forecast")
    assert forecast.folder == ROOT / "functions" / "forecast"
    assert forecast.image == "forecast:0.0.1"
    assert [tuple(each) for each in forecast.triggers] == [("forecast", "http", "/forecast")]


def test_a_function_itself_and_a_folder_of_functions(tmp_path: Path) -> None:
    make(tmp_path / "a", "name: a\n")
    make(tmp_path / "functions" / "b", "name: b\nidle_timeout: 7\n")
    make(tmp_path / ".hidden", "name: c\n")
    make(tmp_path / "deep" / "er", "name: d\n")
    survey = survey_folder(tmp_path)
    assert [(one.name, one.idle_timeout) for one in survey.functions] == [("b", 7), ("a", 30)]
    assert [one.name for one in survey_folder(tmp_path / "a").functions] == ["a"]


def test_the_root_stands_for_itself_without_another(tmp_path: Path) -> None:
    make(tmp_path, "name: f\nentrypoint: x /function/code/func.py run\n", None)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "func.py").write_text(CODE)
    survey = survey_folder(tmp_path)
    assert [(one.name, one.target.handler) for one in survey.functions] == [("f", "run")]
    assert [one.told for one in survey.refused] == [
        "has a func.py and no func.yaml, which says its name"
    ]


@pytest.mark.parametrize("text", BAD)
def test_a_bad_one_is_told_in_a_line_and_the_others_stay(tmp_path: Path, text: str) -> None:
    make(tmp_path / "bad", text)
    make(tmp_path / "good", "name: good\n")
    survey = survey_folder(tmp_path)
    assert [one.name for one in survey.functions] == ["good"]
    (refused,) = survey.refused
    assert refused.folder == tmp_path / "bad"
    assert BAD[text] in refused.told
    assert "\n" not in refused.told
    assert len(refused.told) < 400


def test_no_code_and_not_utf_8(tmp_path: Path) -> None:
    make(tmp_path / "a", "name: a\n", None)
    make(tmp_path / "b", "").joinpath("func.yaml").write_bytes(b"name: \xff\xfe\xfa\n")
    told = [one.told for one in survey_folder(tmp_path).refused]
    assert len(told) == 2
    assert "no such function" in told[0]
    assert "cannot be read" in told[1]


def test_two_of_one_name(tmp_path: Path) -> None:
    make(tmp_path / "one", "name: f\n")
    make(tmp_path / "two", "name: f\n")
    survey = survey_folder(tmp_path)
    assert [one.folder.name for one in survey.functions] == ["one"]
    assert f"that of the function in {tmp_path / 'one'}" in survey.refused[0].told


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    assert survey_folder(tmp_path) == ((), ())
    assert survey_folder(tmp_path / "gone") == ((), ())


def test_nothing_is_read_twice_unless_it_changed(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "name: a\n")
    readings: Readings = {}
    first = survey_folder(tmp_path, readings).functions[0]
    assert survey_folder(tmp_path, readings).functions[0] is first
    make(folder, "name: abc\n")
    again = survey_folder(tmp_path, readings).functions[0]
    assert isinstance(again, LocalFunction)
    assert again.name == "abc"
