"""What fills an environment: pip, out of a lock, into that place and no other."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.models.files import CACHE_VARIABLE, cache_folder

__all__ = ["Progress", "check_packages", "counted", "failed", "packages", "run_step"]

Progress = Callable[[int, int], None]
"""Told how many packages have come, and how many there will be."""

_COLLECTING = re.compile(r"^(?:Collecting|Requirement already)")
_NOTHING_TOLD = "pip says nothing"
_UNWANTED = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONINSPECT", "VIRTUAL_ENV")
_PIP = frozenset(
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "TRUSTED_HOST", "CERT"),
        *("CLIENT_CERT", "PROXY", "KEYRING_PROVIDER", "CONFIG_FILE", "CACHE_DIR", "NO_CACHE_DIR"),
        *("TIMEOUT", "DEFAULT_TIMEOUT"),
    )
)
"""What may say where packages come from. All else of pip's could put them into another place."""
_KEPT = 200


def packages(lock: Path) -> set[str]:
    """Return which packages a lock has."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def check_packages(name: str, lock: Path, made: Path) -> None:
    """Raise SetupError when a file of settings has let pip install into another place."""
    there = {re.sub(r"[-_.]+", "-", each.name.partition("-")[0]).lower()
             for each in made.glob("lib/python*/site-packages/*.dist-info")}  # fmt: skip
    if packages(lock) and not there & packages(lock):
        told = "pip has put the packages into another place; pip config list says what makes it"
        raise failed(name, told)


def counted(progress: Progress, count: int) -> Callable[[str], None]:
    """Return what counts the packages in pip's lines; the last step is the installation."""
    seen = 0

    def line(text: str) -> None:
        nonlocal seen
        if _COLLECTING.match(text):
            seen = min(seen + 1, count - 1)
            progress(seen, count)

    return line


def run_step(
    name: str, command: list[str], work: Path, line: Callable[[str], None] | None = None
) -> None:
    """Run a step in a process group of its own; raises SetupError with its reason."""
    environ = {key: value for key, value in os.environ.items() if _is_kept(key)}
    environ["TMPDIR"] = str(work)  # what it unpacks goes with it
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            for text in process.stdout:
                lines = [*lines[-_KEPT:], text.rstrip()]
                if line:
                    line(text)
        except BaseException:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, 9)
            raise
    if process.returncode:
        raise failed(name, _reason(lines))


def _is_kept(name: str) -> bool:
    return name in _PIP if name.startswith("PIP_") else name not in _UNWANTED


def _reason(lines: list[str]) -> str:
    """Return what pip says is wrong: its first error, which later ones only follow from."""
    errors = [line for line in lines if line.startswith("ERROR:")]
    plain = [line for line in lines if line.strip()]
    return " ".join((errors or plain[-1:] or [_NOTHING_TOLD])[0].split()).removeprefix("ERROR: ")


def failed(name: str, told: str) -> SetupError:
    """Return the error of an environment that could not be made, with what helps."""
    hint = (
        "pip needs a network or a mirror of its own (PIP_INDEX_URL), and room under "
        f"{cache_folder()} ({CACHE_VARIABLE}); --python names a Python that has the packages"
    )
    return SetupError(f"cannot make the environment {name}: {told}; {hint}", field="gpfn convert")
