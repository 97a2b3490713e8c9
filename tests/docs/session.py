"""Runs the examples as a reader would: in a fresh shell, at the top of a checkout.

A reader's shell has a path, a home and a language, and none of our variables. What stands in
for the network are model files that ``gpfn models pull`` has fetched before.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.conftest import ROOT
from tests.docs.blocks import Block, Command, commands
from tests.sources import files

__all__ = ["checkout", "of_a_reader", "pulled", "run_console", "run_python", "unmatched"]

_MARK = "\x1e"
_END_SECONDS = 10.0
_SECONDS = 240
_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")

_DRIVER = """
import json, sys
blocks = json.load(sys.stdin)
space = {"__name__": "__main__"}
for page, line, code in blocks:
    exec(compile("\\n" * (line - 1) + code, page, "exec"), space)
"""


def of_a_reader(folder: Path, cache: Path, programs: Path | None = None) -> dict[str, str]:
    """Return the environment of a shell whose home is ``folder``.

    ``programs`` are first on its path, as after ``source .venv/bin/activate``. ``mktemp``
    makes its folders in the home, so that they go with the test.
    """
    (folder / "bin").mkdir()
    mktemp = folder / "bin" / "mktemp"
    mktemp.write_text(f"#!/bin/sh\nTMPDIR='{folder}' exec /usr/bin/mktemp \"$@\"\n")
    mktemp.chmod(0o755)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "gpfn").symlink_to(cache)
    path = (folder / "bin", *([programs] if programs else []), *_SYSTEM)
    environ = {"PATH": ":".join(map(str, path)), "HOME": str(folder), "LANG": "C.UTF-8"}
    if programs is not None and "PYTHONPATH" in os.environ:  # a work tree beside its environment
        environ["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return environ


def checkout(top: Path) -> Path:
    """Make a folder what a clone of the repository is, as it is in the work tree; returns it."""
    for path in files():
        place = top / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)  # with its time, or make would install again
    return top


def pulled(cache: Path, shared: Path) -> Path:
    """Fetch the catalogue's models into a cache, from the folder of test data; returns it."""
    mirror = str(shared / "data" / "models")
    environ = {**os.environ, "GPFN_CACHE_DIR": str(cache), "GPFN_MODEL_MIRROR": mirror}
    for name in ("mobilenet_v1", "mobilenet_v2"):
        command = [sys.executable, "-m", "gpfn", "models", "pull", name]
        subprocess.run(command, env=environ, check=True, capture_output=True)
    return cache


def run_python(
    blocks: Sequence[Block],
    folder: Path,
    environ: Mapping[str, str],
    python: str = sys.executable,
) -> None:
    """Run the blocks of one page in one namespace; fail with their traceback."""
    work = json.dumps([(str(block.page), block.line, block.code) for block in blocks])
    run = subprocess.run(
        [python, "-c", _DRIVER],
        input=work,
        cwd=folder,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"


def run_console(
    block: Block, folder: Path, environ: Mapping[str, str], seconds: float = _SECONDS
) -> None:
    """Run a console block as one bash session and compare what it prints."""
    session = commands(block)
    assert session, f"{block.page}:{block.line}: a console block without a command"
    status, printed = _bash(_script(session), folder, environ, seconds)
    pieces = printed.split(_MARK)[1:]  # one for each command that was begun
    for command, piece in zip(session, pieces, strict=False):
        where = f"{block.page}:{command.line}: $ {command.text}\n{piece}"
        if status != 0 and command is session[len(pieces) - 1]:
            why = "did not fail" if command.fails else f"exit {status}"
            raise AssertionError(f"{why}: {where}")
        missing = unmatched(command.output, piece)
        assert missing is None, f"did not print {missing!r}: {where}"


def unmatched(expected: Sequence[str], printed: str) -> str | None:
    """Return the first expected line that is not there, in order, or None."""
    lines = iter(printed.splitlines())
    for wanted in expected:
        pattern = re.compile(
            ".*".join(re.escape(part) for part in re.split(r"…|\.\.\.", wanted.strip()))
        )
        if not any(pattern.fullmatch(line.strip()) for line in lines):
            return wanted
    return None


def _script(session: Sequence[Command]) -> str:
    lines = ["set -euo pipefail"]
    for command in session:
        lines.append(f"printf '{_MARK}\\n'")
        if command.fails:
            lines.append(f"if {command.text}\nthen exit 97\nfi")
        else:
            lines.append(command.text)
    return "\n".join(lines) + "\n"


def _bash(script: str, folder: Path, environ: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """Run the script; what it left in the background is ended with it."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = -1
        _end_group(process.pid)
        process.wait()
        output.seek(0)
        return status, output.read()


def _end_group(group: int) -> None:
    """End what is left; a server first has time to end its own, which are no part of the group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + _END_SECONDS
        while _is_running(group) and time.monotonic() < until:
            time.sleep(0.02)


def _is_running(group: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False
