"""How a failed command says so."""

import json

import pytest

from gpfn.cli.commands import report
from gpfn.errors import InvalidTensor, SetupError


def test_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(InvalidTensor("two\n  lines", field="data[3]"), as_json=False) == 1
    assert capsys.readouterr().err == "gpfn: data[3]: two lines\n"


def test_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    report(InvalidTensor("wrong", field="data"), as_json=True)
    assert json.loads(capsys.readouterr().err)["error"]["field"] == "data"


@pytest.mark.parametrize("form", ["", "text", "quiet", "neither"])
def test_a_record_of_the_log(
    form: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_LOG", form)
    error = SetupError("two\n  lines", field="data")
    error.__cause__ = ZeroDivisionError("theirs")
    report(error, as_json=False, as_record=True)
    *trace, last = capfd.readouterr().err.splitlines()
    assert last.endswith("Z error cli - data: two lines")
    assert trace[-1].endswith("Z error cli - ZeroDivisionError: theirs")


def test_a_record_of_the_json_log(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPFN_LOG", "json")
    report(InvalidTensor("two\n  lines", field="data"), as_json=False, as_record=True)
    record = json.loads(capfd.readouterr().err)
    assert (record["level"], record["where"]) == ("error", "cli")
    assert (record["message"], record["error"]) == ("data: two lines", "invalid-tensor")


@pytest.mark.parametrize(("traced", "expected"), [(False, True), (True, False)])
def test_the_trace_of_user_code_is_shown_once(
    traced: bool, expected: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    error = SetupError("cannot be imported")
    error.__cause__ = ZeroDivisionError("theirs")
    report(error, as_json=False, traced=traced)
    assert ("ZeroDivisionError: theirs" in capsys.readouterr().err) is expected


def test_what_the_system_said_needs_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    error = SetupError("cannot be read")
    error.__cause__ = FileNotFoundError("x")
    report(error, as_json=False)
    assert capsys.readouterr().err == "gpfn: cannot be read\n"
