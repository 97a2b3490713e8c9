"""``gpfn completion``: what bash, zsh and fish themselves make of the scripts."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpfn.cli.commands import COMMANDS
from gpfn.cli.completion import command_tree
from gpfn.cli.main import main

LINES = {
    "gpfn pred": {"predict"},
    "gpfn models s": {"show"},
    "gpfn bridge dead re": {"retry"},
    "gpfn help doc": {"doctor"},
    "gpfn completion f": {"fish"},
    "gpfn predict m.onnx --ro": {"--row"},
    "gpfn invoke --engine ": {"docker", "podman"},
    "gpfn invoke --engine=d": {"docker"},
    "gpfn invoke --platform o": {"openwhisk"},
    "gpfn serve --model predict --swa": {"--swap"},
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the script of each shell, and a file that could be completed too."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "fish"):
        command = [sys.executable, "-m", "gpfn", "completion", shell]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        (folder / f"gpfn.{shell}").write_text(made.stdout)
    (folder / "rows.csv").write_text("")
    return folder


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=folder, timeout=60
    )
    assert not done.stderr
    return done.stdout


def test_the_places_are_those_of_the_parsers() -> None:
    found = {place.path: place for place in command_tree()}
    assert {name for name, _ in found[()].commands} == {*COMMANDS, "help"}
    show = {name for option in found["models", "show"].options for name in option.names}
    assert {"--json", "--vet", "--timing", "--help"} <= show
    assert len(found) > len(COMMANDS) + 20


@pytest.mark.parametrize("line", LINES)
def test_bash(line: str, scripts: Path) -> None:
    words = [word for part in line.split(" ") for word in re.split("(=)", part)]
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"source gpfn.bash; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        "_gpfn; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    assert set(run(scripts, "bash", "-c", script).split()) == LINES[line]


@pytest.mark.parametrize("line", LINES)
def test_fish(line: str, scripts: Path) -> None:
    printed = run(scripts, "fish", "-N", "-c", f"source gpfn.fish; complete -C '{line}'")
    found = {row.partition("\t")[0].rpartition("=")[2] for row in printed.splitlines()}
    assert found == LINES[line]


def test_fish_and_bash_complete_files_where_a_value_is_one(scripts: Path) -> None:
    command = "source gpfn.fish; complete -C 'gpfn predict m --csv row'"
    assert run(scripts, "fish", "-N", "-c", command).split() == ["rows.csv"]
    script = "source gpfn.bash; COMP_WORDS=(gpfn predict m --csv row); COMP_CWORD=4; _gpfn; "
    assert run(scripts, "bash", "-c", f'{script} echo "${{#COMPREPLY[@]}}"; complete -p gpfn') == (
        "0\ncomplete -o bashdefault -o default -F _gpfn gpfn\n"
    )


class Terminal:
    """A shell on a pseudo-terminal, which is typed to."""

    def __init__(self, folder: Path, *command: str) -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "PS1": "> "}
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environ,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def type(self, text: str, until: str) -> str:
        """Type a text, and return what the terminal shows once it shows ``until``."""
        os.write(self._ours, text.encode())
        shown, end = "", time.monotonic() + 20
        while not re.search(until, shown) and time.monotonic() < end:
            if select.select([self._ours], [], [], 0.2)[0]:
                shown += os.read(self._ours, 1 << 16).decode(errors="replace")
        assert re.search(until, shown), shown
        return shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture(scope="module")
def zsh(scripts: Path) -> Iterator[Terminal]:
    """Start a zsh that has read the script, with files of its own home alone."""
    terminal = Terminal(scripts, "zsh", "-f", "-i")
    terminal.type("autoload -U compinit; compinit -u -D; source gpfn.zsh; print rea''dy\n", "ready")
    yield terminal
    terminal.close()


@pytest.mark.parametrize("line", [*LINES, "gpfn predict m --csv row"])
def test_zsh(line: str, zsh: Terminal) -> None:
    expected = LINES.get(line, {"rows.csv"})
    zsh.type("\x15" + line, re.escape(line.rstrip()))  # ^U: nothing is left of the last one
    if len(expected) == 1:
        (word,) = expected
        shown = zsh.type("\t", re.escape(word[len(re.split("[ =]", line)[-1]) :]))
    else:
        shown = zsh.type("\t", "(?s)" + ".*".join(map(re.escape, sorted(expected))))
    assert "error" not in shown


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zhs"]) == 2
    assert "did you mean zsh?" in capsys.readouterr().err
