"""What was probably meant: near words of options, choices and commands."""

import pytest

from gpfn.cli.main import main
from gpfn.cli.usage import did_you_mean


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["invoke", "f", "--platfrm", "fn"], "--platfrm; did you mean --platform?"),
        (["invoke", "--platfrm=fn"], "--platfrm; did you mean --platform?"),
        (["predict", "m.onnx", "--inptu", "x.npy"], "--inptu; did you mean --input?"),
        (["models", "shwo", "x"], "invalid choice: 'shwo' (choose from "),
        (["models", "shwo", "x"], "; did you mean show?"),
        (["models", "show", "x", "--jsn"], "--jsn; did you mean --json?"),
        (["bridge", "dead", "list", "--cuont", "1"], "--cuont; did you mean --count?"),
        (["invoke", "f", "--engine", "dcoker"], "; did you mean docker?"),
        (["invoke", "f", "--platform", "opnwhisk"], "got 'opnwhisk'; did you mean openwhisk?"),
    ],
)
def test_a_near_word_is_suggested(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err.splitlines()[-1]
    assert err.startswith(f"usage: gpfn {words[0]}")


def test_nothing_near_is_no_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--qqqqqqqq"]) == 2
    assert capsys.readouterr().err.endswith("error: unrecognized arguments: --qqqqqqqq\n")
    assert main(["train", "forecast", "--csv"]) == 2
    assert capsys.readouterr().err.endswith("error: unrecognized arguments: --csv\n")
    assert main(["invoke", "f", "--", "--platfrm"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_help_of_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "predcit"]) == 2
    assert capsys.readouterr() == ("", "gpfn: no command 'predcit'; did you mean predict?\n")
    assert main(["help", "--help"]) == 0


def test_a_long_word_takes_no_time() -> None:
    assert did_you_mean("show" + "w" * 10**6, ["show"] * 1000) == ""
    assert did_you_mean("shw", ["show", "serve"]) == "; did you mean show?"
