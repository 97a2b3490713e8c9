"""Requirements files as pip reads them: lines as they stand, what they name, where they lead.

A line is kept byte for byte or left out whole; nothing is sorted, cut or joined. Files that
``-r`` and ``-c`` name are read as well. The format is that of pip's documentation
("Requirements File Format"); only what is needed to leave lines out is understood here, and
pip judges the rest.
"""

import codecs
import os
import re
import shlex
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from .layout import Failed

__all__ = ["NAME", "Line", "Requirements", "canonical", "read_requirements", "split_lines"]

NAME = "requirements.txt"

_MAX_BYTES = 1 << 20
_HEAD = 2000  # characters of a line that say what it names and where it leads
_MAX_FILES = 50
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")  # PEP 263, in the first two lines
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
_NESTED = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s+|=|(?<=-[rc]))(.+)")
_LOCAL = re.compile(r"(?:-e|--editable|-f|--find-links)(?:\s+|=|(?<=-[ef]))(.+)")
_HASHED = re.compile(r"(^|\s)--(hash[= ]|require-hashes)")
_PINNED = re.compile(r"==|@|--hash")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=|(?<=-e))")
_PLAIN = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[([^]]*)\])?\s*(?=$|[<>=!~;@(])"
)
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)(?:\[([^]]*)\])?")
_ARCHIVE = re.compile(
    r"(?:.*/)?([A-Za-z0-9._-]+?)-\d[^/\[#]*\.(?:whl|zip|tar\.gz|tar\.bz2|tgz)"
    r"(?:\[([^]]*)\])?(?:[#;\s].*)?"
)


class Line(NamedTuple):
    """One logical line: where it begins, how it stands in the file, and what it says.

    ``text`` has its continuations joined and its comments gone. ``name`` is the package's in
    canonical form, empty for options and for what has none; ``paths`` are of this machine.
    """

    number: int
    raw: str
    text: str
    name: str = ""
    extras: tuple[str, ...] = ()

    @property
    def nested(self) -> str:
        """The file that ``-r`` or ``-c`` names; empty for an address and for other lines."""
        path = _value(_NESTED, self.text)
        return "" if _is_address(path) else path

    @property
    def constrains(self) -> bool:
        """Whether it is a ``-c``: what such a file names is not installed for that."""
        return self.text.startswith(("-c", "--constraint"))

    @property
    def local(self) -> str:
        """The path that it installs a package from, but gpfn's; empty when there is none."""
        if self.name == "gpfn":
            return ""
        path = _value(_LOCAL, self.text)
        if not path and not self.text.startswith("-"):
            path = re.split(r"\s[;-]", self.text[:_HEAD])[0].strip()
            if not (
                path.startswith(".") or _ARCHIVE.fullmatch(path) or re.match(r"[^\s@]+/", path)
            ):
                return ""
        path = re.split(r"\[|#", path)[0].strip()
        return "" if _is_address(path) else path


class _File(NamedTuple):
    bom: bytes
    codec: str
    lines: tuple[Line, ...]
    constrains: bool


class Requirements(NamedTuple):
    """The files of a function by their paths in its folder, requirements.txt first."""

    files: dict[str, _File]

    @property
    def lines(self) -> list[Line]:
        """Every line that asks for something to be installed."""
        files = (file for file in self.files.values() if not file.constrains)
        return [line for file in files for line in file.lines if line.text]

    @property
    def names(self) -> frozenset[str]:
        """The packages that are named."""
        return frozenset(line.name for line in self.lines if line.name)

    @property
    def pinned(self) -> frozenset[str]:
        """The packages that may have one version alone."""
        pins = (line.name for line in self.lines if _PINNED.search(line.text))
        return frozenset(name for name in pins if name)

    @property
    def extras(self) -> frozenset[str]:
        """The extras of gpfn that are named."""
        return frozenset(
            extra for line in self.lines if line.name == "gpfn" for extra in line.extras
        )

    @property
    def hashed(self) -> bool:
        """Whether pip will demand a hash of every package."""
        return any(
            re.search(r"(^|\s)--(hash[= ]|require-hashes)", line.text) for line in self.lines
        )

    @property
    def local(self) -> list[str]:
        """Paths in the folder that packages are installed from."""
        return [line.local for line in self.lines if line.local]

    def without(self, names: Collection[str], more: str = "") -> dict[str, bytes]:
        """Return the files without the lines of some packages, and with ``more`` in the end.

        ``more`` is ASCII, and goes into requirements.txt, which is there even when it is empty.
        """
        written = {path: _text(file, names) for path, file in self.files.items()}
        own = written.get(NAME, "")
        if more and own:
            # the empty line ends a continuation that the file leaves open
            own += "\n" if own.endswith("\n") else "\n\n"
        written[NAME] = own + more if more else own
        plain = _File(b"", "utf-8", (), constrains=False)
        return {path: _encoded(text, self.files.get(path, plain)) for path, text in written.items()}


def read_requirements(folder: Path) -> Requirements:
    """Read a folder's requirements.txt and the files that it leads to.

    Raises Failed, with the file and the line, for a file that is not there, is no text, or
    lies outside of the folder: neither an image nor a zip would have it.
    """
    files: dict[str, _File] = {}
    waiting = deque([(NAME, NAME, False)] if (folder / NAME).exists() else [])
    while waiting:
        path, asked_by, constrains = waiting.popleft()
        if path in files and (constrains or not files[path].constrains):
            continue
        if len(files) == _MAX_FILES:
            raise Failed(f"{asked_by}: leads to more than {_MAX_FILES} files")
        files[path] = _read(folder, path, asked_by, constrains=constrains)
        for line in files[path].lines:
            place = f"{path}:{line.number}"
            if line.nested:
                inner = _inside(folder, (Path(path).parent / line.nested), place)
                waiting.append((inner, place, constrains or line.constrains))
            elif line.local and not os.path.exists(
                folder / _inside(folder, Path(line.local), place)
            ):
                raise Failed(f"{place}: {line.local} is not in the function's folder")
    return Requirements(files)


def canonical(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_address(path: str) -> bool:
    return "://" in path or path.startswith("file:") or "${" in path


def _inside(folder: Path, path: Path, place: str) -> str:
    """Return a path relative to the folder that has to have it."""
    if "\0" in str(path):
        raise Failed(f"{place}: a path cannot have a NUL")
    top = folder.resolve()
    whole = (top / path).resolve()
    if path.is_absolute() or not whole.is_relative_to(top):
        raise Failed(f"{place}: {path} is outside of the function's folder: copy it there")
    return whole.relative_to(top).as_posix()


def _read(folder: Path, path: str, asked_by: str, *, constrains: bool) -> _File:
    try:
        if not (folder / path).is_file():  # what is none may never end
            raise Failed(f"{asked_by}: {path} cannot be read: no such file")
        with (folder / path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise Failed(f"{asked_by}: {path} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise Failed(f"{path}: has over {_MAX_BYTES} bytes")
    bom, codec = next((row for row in _BOMS if data.startswith(row[0])), (b"", ""))
    codec = codec or _declared(data)
    try:
        text = data[len(bom) :].decode(codec)
    except (LookupError, ValueError) as error:
        raise Failed(f"{path}: is no text: {error}") from None
    return _File(bom, codec, tuple(split_lines(text)), constrains)


def _declared(data: bytes) -> str:
    for line in data.split(b"\n")[:2]:
        found = _CODING.search(line) if line.startswith(b"#") else None
        if found:
            return found[1].decode("ascii")
    return "utf-8"


def split_lines(text: str) -> Iterator[Line]:
    """Yield logical lines, joined as pip does: a comment ends a continuation, and the end too."""
    raws: list[str] = []
    joined = ""
    first = 1
    for number, raw in enumerate(text.splitlines(keepends=True), 1):
        line = "".join(raw.splitlines())
        comment = line.lstrip().startswith("#")
        raws.append(raw)
        if line.endswith("\\") and not comment:
            joined += line.strip("\\")
            continue
        yield _line(first, "".join(raws), joined + (f" {line}" if comment else line))
        raws, joined, first = [], "", number + 1
    if raws:
        yield _line(first, "".join(raws), joined)


def _line(number: int, raw: str, joined: str) -> Line:
    text = _COMMENT.sub("", joined).strip()
    wanted = _EDITABLE.sub("", text[:_HEAD], count=1)
    if wanted.startswith("-"):
        return Line(number, raw, text)
    plain = _PLAIN.match(wanted)
    if plain and not _ARCHIVE.fullmatch(plain[1]):
        return Line(number, raw, text, canonical(plain[1]), _extras(plain[2]))
    found = _EGG.search(wanted) or _ARCHIVE.fullmatch(wanted.partition(" --")[0])
    if found:
        return Line(number, raw, text, canonical(found[1]), _extras(found[2]))
    return Line(number, raw, text)


def _extras(text: str | None) -> tuple[str, ...]:
    return tuple(canonical(extra.strip()) for extra in (text or "").split(",") if extra.strip())


def _value(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.match(text[:_HEAD])
    if found is None:
        return ""
    try:
        return next(iter(shlex.split(found[1])), "")
    except ValueError:
        return ""  # an open quote: pip says so


def _text(file: _File, names: Collection[str]) -> str:
    return "".join(line.raw for line in file.lines if not (line.name and line.name in names))


def _encoded(text: str, file: _File) -> bytes:
    return file.bom + text.encode(file.codec)
