"""Which packages an action's zip asks for, and getting them for another Python than this one.

A function's requirements files stay as they are, without gpfn itself, which lies in the zip;
what gpfn needs comes behind them.
"""

import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from gpfn.build.stage.layout import Failed
from gpfn.build.stage.lock import constraints, select
from gpfn.build.stage.requirements import NAME, Requirements, canonical, read_requirements
from gpfn.errors import DownloadFailed, SetupError

__all__ = ["closure", "gpfn_needs", "install", "requirement_files", "requirements_of"]

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_OF_EXTRAS = re.compile(r"gpfn\[([^]]+)]")
_NOT_CALLED = frozenset(("fdk", "pyyaml", "rich"))
"""For other platforms, tests, downloads and command lines, none of which an action has."""

_LITERT = "ai-edge-litert"
_NEWEST_GLIBC = 36  # of Debian 12, which the stock images are made from
_OLDEST_GLIBC = 17


def requirements_of(folder: Path) -> Requirements:
    """Read a function's requirements files.

    Raises SetupError, with the file and the line, for one that is not there, is no text, or
    lies outside of the folder.
    """
    try:
        return read_requirements(folder)
    except Failed as error:
        raise SetupError(str(error), field=str(folder)) from None


def requirement_files(
    read: Requirements,
    *,
    extras: Collection[str] = (),
    litert: bool = True,
    imports: Collection[str] = (),
) -> dict[str, bytes]:
    """Return the requirements files of a zip by their paths: the function's, with gpfn's needs.

    The arguments are those of :func:`gpfn_needs`. Raises SetupError.
    """
    more = gpfn_needs(read, extras=extras, litert=litert, imports=imports).values()
    unless = {"gpfn"} if "fdk" in imports else {"gpfn", "fdk"}
    return read.without(unless, _hashed(more, read) if read.hashed else _lines(more))


def gpfn_needs(
    read: Requirements,
    *,
    extras: Collection[str] = (),
    litert: bool = True,
    imports: Collection[str] = (),
) -> dict[str, str]:
    """Return what gpfn needs in an action, by the packages' names.

    ``extras`` are of gpfn, besides those that the files ask for; ``litert`` says whether a
    LiteRT model is run by the function itself, and ``imports`` are packages that its own
    modules import: of gpfn's needs, some are left out that no action calls otherwise.

    Raises SetupError for an extra that gpfn does not have.
    """
    wanted = read.extras | set(extras)
    known = {canonical(name) for name in metadata.metadata("gpfn").get_all("Provides-Extra") or ()}
    if unknown := sorted(wanted - known):
        told = f"gpfn has no extra {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        raise SetupError(told, field=NAME)
    left_out = _NOT_CALLED if litert else _NOT_CALLED | {_LITERT}
    ours = {_name(line): line for line in _of_gpfn(wanted)}
    return {name: ours[name] for name in sorted(ours) if name not in left_out or name in imports}


def _lines(wanted: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in wanted)


def _hashed(wanted: Iterable[str], read: Requirements) -> str:
    """Return gpfn's needs, and theirs, with hashes: pip then demands one of every package."""
    from gpfn.build.context import lock_text

    lock = lock_text("all.lock")
    locked = set(map(_name, constraints(lock).splitlines()))
    return select(lock, (closure(map(_name, wanted)) & locked) - read.names)


def closure(names: Iterable[str]) -> set[str]:
    """Return packages with all that they depend on, as far as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += map(_name, _needs(name))
    return found


def _needs(name: str) -> list[str]:
    try:
        return [line for line in metadata.requires(name) or () if not _EXTRA.search(line)]
    except metadata.PackageNotFoundError:
        return []


def _of_gpfn(extras: Collection[str], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield what gpfn and some of its extras ask for; an extra may be made of others."""
    for line in metadata.requires("gpfn") or ():
        requirement, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        if extra is not None and canonical(extra[1]) not in extras:
            continue
        others = _OF_EXTRAS.match(requirement)
        if others is None:
            yield requirement.strip()
        elif new := frozenset(map(canonical, others[1].split(","))) - seen:
            yield from _of_gpfn(new, seen | new)


def _name(line: str) -> str:
    found = _NAME.match(line)
    return canonical(found[0]) if found else line


def install(files: Mapping[str, bytes], folder: Path, target: Path, python: str) -> None:
    """Install what requirements files ask for into ``target``, for Linux and a Python's version.

    Other paths in them are those of ``folder``. Packages come as wheels, and are stripped of
    what no prediction reads. Raises DownloadFailed with what pip says.
    """
    from gpfn.build.stage.installed import forget_installation, strip

    with tempfile.TemporaryDirectory(prefix="gpfn-requirements-") as name:
        for path, data in files.items():
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / path).write_bytes(data)
        run = subprocess.run(
            [*_pip(), *_for_linux(python), "--target", str(target), "-r", str(Path(name) / NAME)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise DownloadFailed("; ".join(said) or run.stderr.strip() or "pip failed")
    strip(target)
    forget_installation(target)


def _pip() -> list[str]:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [*pip, "--no-compile", "--no-input", "--only-binary=:all:"]


def _for_linux(python: str) -> Iterator[str]:
    yield from ("--implementation", "cp", "--python-version", python)
    yield from ("--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none")
    for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1):
        yield from ("--platform", f"manylinux_2_{minor}_{platform.machine()}")
    yield from ("--platform", f"manylinux2014_{platform.machine()}")
