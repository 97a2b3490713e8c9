"""``gpfn invoke`` with rows, CSV, pictures and texts: what each kind of function is sent."""

import json
from pathlib import Path

import pytest

from gpfn.cli.main import main
from tests.cli.terminal import on_a_terminal
from tests.conftest import ROOT

PLAIN = {"TERM": "dumb", "PYTHONUTF8": "1"}
PICTURE = str(ROOT / "ce_samples" / "digit-7.png")
TAKES = {
    "payload": "lambda p: {'type': p.media_type, 'text': p.data.decode()}, takes='payload'",
    "event": "lambda e: {'type': e.datacontenttype, 'text': e.json()}, takes='event'",
    "arrays": "lambda x: x, inputs={'x': TensorSpec('string', (None,))}",
    "picture": "lambda x: list(x.shape), inputs={'x': TensorSpec('float32', (None, 4, 4, 3))}",
}


def function(folder: Path, takes: str) -> str:
    text = f"from gpfn import Function, TensorSpec\nhandler = Function({TAKES[takes]})\n"
    (folder / "func.py").write_text(text)
    return str(folder)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> object:
    assert main(["invoke", *words]) == 0, capsys.readouterr().err
    value: object = json.loads(capsys.readouterr().out)
    return value


def test_rows_for_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add = str(ROOT / "functions" / "add")
    assert answer(capsys, add, "--row", "a=1", "b=2", "--row", "b=3", "a=4") == {
        "y": [[2, 3], [5, 4]]
    }
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbf1;2\r\n3;4\r\n")
    for platform in ("http", "openwhisk"):
        words = ("--platform", platform, "--csv", str(tmp_path / "rows.csv"))
        assert answer(capsys, add, *words) == {"y": [[2, 3], [4, 5]]}


def test_texts_and_pictures_for_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, function(tmp_path, "arrays"), "--text", "02139", "--text", "b") == [
        "02139",
        "b",
    ]
    assert main(["invoke", function(tmp_path, "picture"), "--image", PICTURE]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == [1, 4, 4, 3]
    assert "taken as 4 x 4 RGB" in err


def test_rows_and_texts_for_other_functions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = function(tmp_path, "payload")
    found = answer(capsys, payload, "--row", "zip=02139", "age=7")
    assert found == {"type": "application/json", "text": '{"zip": "02139", "age": 7}'}
    assert answer(capsys, payload, "--text", "hello") == {"type": "text/plain", "text": "hello"}
    found = answer(capsys, payload, "--text", "a", "--text", "b")
    assert found == {"type": "application/json", "text": '["a", "b"]'}


def test_events_are_made_for_what_takes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = answer(capsys, function(tmp_path, "event"), "--row", "a=1")
    assert isinstance(reply, dict)
    assert reply["type"] == "gpfn.invoke.response"
    assert reply["data"] == {"type": "application/json", "text": {"a": 1}}


def test_a_picture_stays_a_parameter_of_what_reads_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    digits = str(ROOT / "functions" / "digits")
    found = answer(capsys, digits, "--image", PICTURE, "-p", "topk", "1")
    assert found == {"results": [{"className": "7", "probability": 0.993362}]}


def test_several_pictures_are_all_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = ["--image", PICTURE, "--image", str(ROOT / "README.md")]
    found = answer(capsys, str(ROOT / "functions" / "digits"), *two, "-p", "topk", "1")
    assert isinstance(found, dict)
    first, second = found["images"]
    assert first["results"] == [{"className": "7", "probability": 0.993362}]
    assert second["error"]["field"] == "images[1]"
    batch = ["--image", PICTURE, "--image", PICTURE]
    assert answer(capsys, function(tmp_path, "picture"), *batch) == [2, 4, 4, 3]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--row", "a=1", "--csv", "f"], 2, "--row and --csv are each the whole body"),
        (["--row", "a=1", "--image", "f"], 2, "--row and --image are each the whole body"),
        (["--text", "a", "-p", "b", "c"], 2, "--text and --param are each the whole body"),
        (["--text", "a", "--data", "b"], 2, "--text and --data are each the whole body"),
        (["--row", "a=x"], 1, "--row 1.a: expected a number (float32), got text"),
        (["--csv", "absent"], 1, "--csv: cannot read absent: No such file"),
        (["--text", "a"], 1, "--text: which input is a text? the model takes x float32 (any, any)"),
        (["--image", PICTURE], 1, "which input is a picture? the model takes x float32"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["invoke", str(ROOT / "functions" / "add"), *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert told in err


def test_a_function_that_cannot_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text("import nothing_like_it\n")
    assert main(["invoke", str(tmp_path), "--row", "a=1"]) == 1
    assert "func.py: cannot be loaded here, so nothing says" in capsys.readouterr().err


def test_a_terminal_has_bars_and_tables() -> None:
    functions = ROOT / "functions"
    bars = on_a_terminal("invoke", str(functions / "digits"), "--image", PICTURE, **PLAIN)
    assert "7          0.993362     ██████████████" in bars
    table = on_a_terminal("invoke", str(functions / "add"), "--row", "a=1", "b=2", **PLAIN)
    assert [line.split() for line in table.splitlines()] == [["y[0]", "y[1]"], ["2", "3"]]
    row = ["--row", *[f"m{at}={at}" for at in range(20)]]
    plot = on_a_terminal("invoke", str(functions / "forecast"), *row, **PLAIN)
    assert plot.startswith("output  float64 (1, 20, 1)")
    assert len(plot.splitlines()) == 9
