"""Loading a function's file by its path."""

import sys
from pathlib import Path
from traceback import extract_tb

import pytest

from gpfn.errors import SetupError
from gpfn.function.function import Function
from gpfn.log import Log
from gpfn.platforms.load import load_function, load_target, open_function

SOURCE = """
from gpfn import Function
from beside_this import answer

f = Function(answer, takes="payload")
handler = f
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_modules_beside_the_file_can_be_imported(folder: Path) -> None:
    write(folder / "beside_this.py", "def answer(payload):\n    return 42\n")
    file = write(folder / "func.py", SOURCE)
    function = load_function(file, ("handler",))
    assert isinstance(function, Function)
    assert function([]) == 42
    assert function.folder == str(folder)
    assert load_function(str(folder)) is function


def test_a_file_is_not_confused_with_another_of_its_name(folder: Path) -> None:
    files = []
    for name in ("one", "two", "json"):
        (folder / name).mkdir()
        stem = "json.py" if name == "json" else "func.py"
        files.append(write(folder / name / stem, f"name = {name!r}\n"))
    assert [load_target(file, ["name"]) for file in files] == ["one", "two", "json"]
    assert sys.modules["json"].__name__ == "json"
    assert hasattr(sys.modules["json"], "loads")


def test_the_first_name_that_is_there(folder: Path) -> None:
    file = write(folder / "func.py", "main = 1\nhandler = 2\n")
    assert load_target(file, ("handler", "main")) == 2
    assert load_target(file, ("app", "main")) == 1


def test_a_single_function_needs_no_name(folder: Path) -> None:
    file = write(
        folder / "func.py", "from gpfn import Function\nmine = Function(len, takes='payload')\n"
    )
    assert load_function(file, ("handler",)).name == "len"
    assert load_function(file, ("app",)).name == "len"
    with pytest.raises(SetupError, match="defines no yours; it defines Function, mine"):
        load_function(file, ("yours",))


def test_no_such_file(folder: Path) -> None:
    with pytest.raises(SetupError, match=r"absent\.py: no such file"):
        load_function(str(folder / "absent.py"))


def test_no_such_name_lists_those_there_are(folder: Path) -> None:
    file = write(folder / "func.py", "import os\ndef other(): pass\n")
    with pytest.raises(SetupError, match=r"func\.py: defines no handler; it defines os, other"):
        load_function(file, ("handler",))


def test_something_else_under_the_name(folder: Path) -> None:
    file = write(folder / "func.py", "handler = 3\n")
    with pytest.raises(SetupError, match="got a int"):
        load_function(file, ("handler",))


@pytest.mark.parametrize(
    ("source", "says", "cause"),
    [
        ("import absent_module\n", "No module named 'absent_module' (line 1)", ModuleNotFoundError),
        ("\n\n1 / 0\n", "ZeroDivisionError: division by zero (line 3)", ZeroDivisionError),
        ("def (\n", "SyntaxError", SyntaxError),
        ("raise SystemExit(3)\n", "SystemExit: 3 (line 1)", SystemExit),
        ("\0", "", (SyntaxError, ValueError)),
        (
            "from gpfn import Function\nFunction(takes='payload')\n",
            "handler: give a handler, a model, or both (line 2)",
            SetupError,
        ),
    ],
)
def test_a_failing_import_says_why_and_where(
    folder: Path, source: str, says: str, cause: type[BaseException]
) -> None:
    file = write(folder / "func.py", source)
    for _ in range(2):
        with pytest.raises(SetupError) as raised:
            load_function(file)
        assert says in raised.value.detail
        assert raised.value.field == file
        assert isinstance(raised.value.__cause__, cause)
        frames = extract_tb(raised.value.__cause__.__traceback__)
        assert not frames or frames[0].filename == file, "it begins in the user's file"
    write(folder / "func.py", "handler = 'mended, and longer than before'\n")
    assert load_target(file, ("handler",))


@pytest.mark.parametrize("error", [SystemExit(3), RuntimeError("a bug"), SetupError("no table")])
def test_a_function_that_cannot_be_opened_is_told_and_tried_again(error: BaseException) -> None:
    failures: list[BaseException] = [error]

    def on_open(_model: object) -> None:
        if failures:
            raise failures.pop()

    function = Function(lambda payload: payload, takes="payload", on_open=on_open)
    lines: list[bytes] = []
    log = Log("fn", "f", form="text", sink=lambda data, _failure: lines.append(data))
    seconds: dict[str, float] = {}
    assert open_function(function, log, seconds) == ", model not opened"
    assert b" error fn f " in lines[0]
    assert not function.is_open
    assert open_function(function, log, seconds) == ""
    assert function.is_open
    assert len(lines) == 1
