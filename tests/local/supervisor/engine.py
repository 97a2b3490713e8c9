"""A stand-in for an engine's command line, where none runs: a container is a plain process.

It notes what it is told, and does of it what the supervisor sees: ``run`` stays in the
foreground, publishes a port, and hands the variables on; ``pause`` stops, ``rm`` kills.
The real engines are in tests/images_engine.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["install", "told"]


def install(folder: Path) -> None:
    """Make a program ``docker`` in a folder, for the PATH of a test."""
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {folder} "$@"\n')
    program.chmod(0o755)


def told(folder: Path) -> list[list[str]]:
    """Return what the engine was told so far."""
    lines = (folder / "told").read_text().splitlines()
    return [json.loads(line) for line in lines]


def main(folder: Path, words: list[str]) -> int:
    """Do one command."""
    with (folder / "told").open("a") as file:
        file.write(json.dumps(words) + "\n")
    command = _COMMANDS.get(words[0])
    return 1 if command is None else command(folder, words[1:])


def _run(folder: Path, words: list[str]) -> int:
    values = {word.partition("=")[0]: word.partition("=")[2] for word in words if "=" in word}
    variables = dict(os.environ)
    for word in words:
        name, equals, value = word.removeprefix("--env=").partition("=")
        if word.startswith("--env=") and equals:
            variables[name] = value
    mount = values.get("--volume", "").partition(":")[0]
    image = words[-1]
    if image == "absent:1":
        sys.stderr.write(
            "docker: Error response from daemon: No such image: absent:1\n\n"
            "Run 'docker run --help' for more information\n"
        )
        return 125
    script = folder / image.partition(":")[0]
    command = [sys.executable, str(script)]
    child = subprocess.Popen(command, env={**variables, "IOFS": mount, "PORTS": str(folder)})
    (folder / values["--name"]).write_text(str(child.pid))
    code = child.wait()
    return 128 - code if code < 0 else code


def _pid(folder: Path, name: str) -> int:
    return int((folder / name).read_text())


def _signal(number: int, folder: Path, words: list[str]) -> int:
    try:
        os.kill(_pid(folder, words[-1]), number)
    except (ProcessLookupError, FileNotFoundError):
        return 1
    return 0


def _port(folder: Path, words: list[str]) -> int:
    end = time.monotonic() + 5
    while not (folder / "port").exists():
        if time.monotonic() > end:
            return 1
        time.sleep(0.01)
    sys.stdout.write(f"127.0.0.1:{(folder / 'port').read_text()}\n")
    return 0 if words[-1] == "8080/tcp" else 1


def _inspect(folder: Path, words: list[str]) -> int:
    sys.stdout.write(f"{_pid(folder, words[-1])}\n")
    return 0


def _ps(folder: Path, _words: list[str]) -> int:
    left = folder / "left"
    sys.stdout.write(left.read_text() if left.exists() else "")
    return 0


_COMMANDS = {
    "run": _run,
    "pause": lambda folder, words: _signal(signal.SIGSTOP, folder, words),
    "unpause": lambda folder, words: _signal(signal.SIGCONT, folder, words),
    "rm": lambda folder, words: _signal(signal.SIGKILL, folder, words),
    "port": _port,
    "inspect": _inspect,
    "ps": _ps,
}

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
