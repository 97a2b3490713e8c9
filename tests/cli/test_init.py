"""``gpfn init``: what it makes, what it asks, and what it refuses without a trace."""

import json
import os
import pty
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpfn.cli.main import main
from tests.scaffold.making import affine


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one model, in which the commands run."""
    affine(tmp_path / "affine.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *words: str, code: int = 1) -> str:
    """Return the one line that a command says which changes nothing."""
    before = sorted(str(path) for path in Path().rglob("*"))
    assert main(["init", *words]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert sorted(str(path) for path in Path().rglob("*")) == before
    (line,) = told.err.splitlines()
    return line


def test_it_says_what_it_made_and_what_is_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "flowers", "--from", "affine.onnx"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines() == [
        "made flowers: 8 files, arrays, affine.onnx by onnx",
        "next:",
        "  gpfn invoke flowers < flowers/sample.json",
        "  gpfn doctor flowers",
        "  pytest flowers",
    ]


def test_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "flowers", "--from", "affine.onnx", "--platform", "fn", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    sizes = {file["path"]: file["bytes"] for file in told.pop("files")}
    assert sizes == {path.name: path.stat().st_size for path in Path("flowers").iterdir()}
    assert told == {
        "name": "flowers",
        "folder": str(here / "flowers"),
        "kind": "arrays",
        "model": "affine.onnx",
        "backend": "onnx",
        "platforms": ["fn"],
        "next": [
            "gpfn invoke flowers < flowers/sample.json",
            "gpfn doctor flowers",
            "pytest flowers",
        ],
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a/b", "NAME: a name, not a path"),
        ("..", "NAME: a name, not a path"),
        ("a b", "NAME: a name has no spaces"),
        ("a\0b", "NAME: letters a to z"),
        ("x" * 300, "NAME: at most 63 characters"),
        ("Flowers", "NAME: Fn's names are lower case: flowers"),
    ],
)
def test_names(capsys: pytest.CaptureFixture[str], name: str, told: str) -> None:
    assert told in refusal(capsys, name, "--from", "affine.onnx")


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest of what cannot be opened is tests/scaffold/test_source.py's."""
    Path("empty.onnx").touch()
    Path("model.pkl").write_bytes(b"\x80\x04\x95")
    affine(Path("custom.onnx"), operator="Unheard")
    affine(Path("newer.onnx"), opset=99)
    assert "the file is empty" in refusal(capsys, "f", "--from", "empty.onnx")
    assert "gpfn convert model.pkl" in refusal(capsys, "f", "--from", "model.pkl")
    assert "it has no operator Unheard; export" in refusal(capsys, "f", "--from", "custom.onnx")
    assert "has opset 99 of ai.onnx, and it" in refusal(capsys, "f", "--from", "newer.onnx")
    assert "no such file" in refusal(capsys, "f", "--from", "absent.onnx")
    near = refusal(capsys, "f", "--from", "afine.onnx")
    assert near.endswith("--from: no such file: afine.onnx; did you mean affine.onnx?")


@pytest.mark.parametrize("name", ["digits", "catalogue:digits"])
def test_a_name_of_the_catalogue(capsys: pytest.CaptureFixture[str], name: str) -> None:
    line = refusal(capsys, "f", "--from", name)
    assert "names a model of the catalogue as it is, model='catalogue:digits'" in line
    assert "--from takes a file, such as gpfn models pull digits prints" in line


def test_a_folder_that_is_not_empty(capsys: pytest.CaptureFixture[str]) -> None:
    Path("f").mkdir()
    Path("f/func.py").write_text("mine")
    Path("f/.git").mkdir()
    line = refusal(capsys, "f", "--from", "affine.onnx")
    assert (
        line == "gpfn: f: is not empty: func.py; give another name, or --force to write over them"
    )
    assert main(["init", "f", "--from", "affine.onnx", "--force"]) == 0
    assert "Function(" in Path("f/func.py").read_text()


def test_kinds_and_platforms(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "f", "--from", "affine.onnx", "--kind", "text")
    assert line.startswith("gpfn: --kind: text is for models that take strings, and this one")
    line = refusal(capsys, "f", "--from", "affine.onnx", "--platform", "fn,lambda")
    assert "--platform: expected some of fn, openwhisk, http, with commas; got 'lambda'" in line
    assert main(["init", "f", "--from", "affine.onnx", "--kind", "poem"]) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give NAME and --from MODEL;"),
        (["f"], "give --from MODEL;"),
        (["--from", "affine.onnx"], "give NAME;"),
        (["f", "--json"], "give --from MODEL;"),
    ],
)
def test_without_a_terminal_it_says_what_to_give(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert told in refusal(capsys, *words, code=2)


def test_a_small_model_takes_no_time() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "gpfn", "init", "f", "--from", "affine.onnx"]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


class Terminal:
    """The command at a terminal, and somebody who types."""

    def __init__(self, *words: str) -> None:
        self.keys, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpfn", "init", *words], stdin=other, stdout=other, stderr=other
        )
        os.close(other)
        self.seen = ""

    def answers(self, question: str, answer: str) -> None:
        """Type an answer, once the question is there."""
        deadline = time.monotonic() + 30
        while not self.seen.rstrip("\r\n").endswith(question):
            assert time.monotonic() < deadline, self.seen
            self.seen += os.read(self.keys, 4096).decode()
        os.write(self.keys, answer.encode())
        self.seen += "\n"

    def ends(self) -> int:
        """Read the rest; return the exit code."""
        while True:
            try:
                data = os.read(self.keys, 4096)
            except OSError:  # nobody holds the other end
                break
            if not data:
                break
            self.seen += data.decode()
        os.close(self.keys)
        return self.process.wait(30)


def test_at_a_terminal_enter_is_enough() -> None:
    terminal = Terminal()
    terminal.answers("model (file, folder, or FILE.py:FUNCTION) [affine.onnx]: ", "\n")
    terminal.answers("name of the function [affine]: ", "\n")
    terminal.answers("[what fits the model]: ", "\n")
    terminal.answers("platforms, with commas [fn,openwhisk,http]: ", "\n")
    assert terminal.ends() == 0, terminal.seen
    assert "made affine: 8 files, arrays" in terminal.seen
    assert Path("affine/func.py").is_file()


def test_at_a_terminal_a_wrong_answer_is_asked_for_again() -> None:
    terminal = Terminal()
    terminal.answers("[affine.onnx]: ", "absent.onnx\n")
    terminal.answers("[affine.onnx]: ", "affine.onnx\n")
    terminal.answers("[affine]: ", "My Flowers\n")
    terminal.answers("[affine]: ", "flowers\n")
    terminal.answers("[what fits the model]: ", "poem\n")
    terminal.answers("[what fits the model]: ", "event\n")
    terminal.answers("[fn,openwhisk,http]: ", "moon\n")
    terminal.answers("[fn,openwhisk,http]: ", "http\n")
    assert terminal.ends() == 0, terminal.seen
    for told in ("no such file", "a name has no spaces", "expected one of what fits the model"):
        assert told in terminal.seen
    assert 'takes="event"' in Path("flowers/func.py").read_text()


def test_at_a_terminal_only_what_is_missing_is_asked() -> None:
    terminal = Terminal("flowers", "--kind", "event")
    terminal.answers("[affine.onnx]: ", "\n")
    terminal.answers("[fn,openwhisk,http]: ", "\n")
    assert terminal.ends() == 0, terminal.seen
    assert "name of the function" not in terminal.seen


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 1)])
def test_at_a_terminal_it_can_be_left(key: str, code: int) -> None:
    terminal = Terminal()
    terminal.answers("[affine.onnx]: ", key)
    # the terminal is not the process's own, so its Ctrl-C comes as the signal
    if key == "\x03":
        terminal.process.send_signal(2)
    assert terminal.ends() == code, terminal.seen
    assert sorted(os.listdir()) == ["affine.onnx"]
