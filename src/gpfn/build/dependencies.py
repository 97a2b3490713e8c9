"""Which packages a function needs, and getting them for another Python than this one."""

import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from gpfn.errors import DownloadFailed

__all__ = ["install", "requirements"]

_OURS = re.compile(r"gpfn\s*(?:\[(?P<extras>[^]]*)\])?\s*(?:$|[<>=!~;])", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NOT_CALLED = frozenset(("fdk", "pyyaml", "requests", "rich"))
"""For other platforms, tests, downloads and command lines, none of which an action has."""

_LITERT = "ai-edge-litert"
_NEWEST_GLIBC = 36  # of Debian 12, which the stock images are made from
_OLDEST_GLIBC = 17


def requirements(file: Path | None, *, litert: bool) -> list[str]:
    """Return what gpfn and a requirements.txt ask for, without gpfn itself, sorted.

    ``litert`` says whether a LiteRT model is run by the function itself.
    """
    lines = _lines(file) if file is not None and file.is_file() else []
    extras = {extra for line in lines for extra in _extras(line)}
    own = [line for line in lines if not _OURS.match(line)]
    wanted = {*own, *_of_gpfn(extras)}
    left_out = _NOT_CALLED if litert else _NOT_CALLED | {_LITERT}
    return sorted(line for line in wanted if _name(line) not in left_out)


def _lines(file: Path) -> list[str]:
    stripped = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in stripped if line]


def _extras(line: str) -> list[str]:
    found = _OURS.match(line)
    names = (found["extras"] or "") if found else ""
    return [name.strip().lower() for name in names.split(",") if name.strip()]


def _of_gpfn(extras: set[str]) -> Iterator[str]:
    for line in metadata.requires("gpfn") or ():
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        if extra is None or extra[1].lower() in extras:
            yield requirement.strip()


def _name(line: str) -> str:
    found = _NAME.match(line)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else line


def install(wanted: Sequence[str], target: Path, python: str) -> None:
    """Install packages into a folder, as wheels for Linux and a version of Python.

    They are stripped of what no prediction reads. Raises DownloadFailed with what pip says.
    """
    from gpfn.build.stage.installed import strip

    run = subprocess.run(
        [*_pip(), *_for_linux(python), "--target", str(target), *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise DownloadFailed("; ".join(said) or run.stderr.strip() or "pip failed")
    strip(target)


def _pip() -> list[str]:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [*pip, "--no-compile", "--no-input", "--only-binary=:all:"]


def _for_linux(python: str) -> Iterator[str]:
    yield from ("--implementation", "cp", "--python-version", python)
    yield from ("--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none")
    for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1):
        yield from ("--platform", f"manylinux_2_{minor}_{platform.machine()}")
    yield from ("--platform", f"manylinux2014_{platform.machine()}")
