"""Models known by name: where their files come from and what they want as input.

The catalogue is data, ``models/catalogue.toml`` in the repository and a copy of it in an
installed package. It is checked when it is read; errors name the field.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.images.preparation import ImageInput

__all__ = [
    "Catalogue",
    "CatalogueEntry",
    "ModelFile",
    "bundled_folder",
    "default_catalogue",
    "parse_catalogue",
    "read_catalogue",
]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file to be fetched, with its hash and its size in bytes, or one that is bundled.

    A bundled file has only a name: it came with gpfn, and training makes it anew.
    """

    name: str
    sha256: str = ""
    size: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model by name: its files, its licence and what it wants as input."""

    name: str
    title: str
    licence: str
    source: str
    model: ModelFile
    labels: ModelFile | None = None
    input: ImageInput | None = None

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The model file, then the labels."""
        return (self.model,) if self.labels is None else (self.model, self.labels)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models, in the order in which they are listed."""

    entries: tuple[CatalogueEntry, ...]

    def __iter__(self) -> Iterator[CatalogueEntry]:
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return any(entry.name == name for entry in self.entries)

    def get(self, name: str) -> CatalogueEntry:
        """Return the entry ``name``; raise SetupError with the known names if there is none."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.entries)
        raise SetupError(f"no model named {name!r}; the catalogue has: {known}", field="name")


def bundled_folder() -> Path:
    """Return the folder of the catalogue and of the models that come with gpfn.

    In an installed package it lies beside this module, in a checkout it is ``models/``.
    """
    installed = Path(__file__).with_name("bundled")
    return installed if installed.is_dir() else Path(__file__).resolve().parents[3] / "models"


@cache
def default_catalogue() -> Catalogue:
    """Return the catalogue that comes with gpfn, read once."""
    return read_catalogue(bundled_folder() / "catalogue.toml")


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue file; raise SetupError when it is unreadable or wrong."""
    import tomllib

    try:
        return parse_catalogue(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SetupError(f"the model catalogue cannot be read: {error}", field=str(path)) from error


def parse_catalogue(document: Mapping[str, object]) -> Catalogue:
    """Check a parsed catalogue; raise SetupError with the field's path when it is wrong."""
    top = _Table(document, "")
    files = {name: _file(name, table) for name, table in top.tables("files")}
    entries = tuple(_entry(name, table, files) for name, table in top.tables("models"))
    top.end()
    return Catalogue(entries)


def _file(name: str, table: "_Table") -> ModelFile:
    if not _FILE_NAME.fullmatch(name):
        raise SetupError(f"{name!r} is no plain file name", field=table.path)
    file = _remote_file(name, table) if "url" in table else ModelFile(name)
    table.end()
    return file


def _remote_file(name: str, table: "_Table") -> ModelFile:
    url, sha256 = table.text("url"), table.text("sha256")
    if not url.startswith("https://"):
        raise SetupError("expected an https:// URL", field=f"{table.path}.url")
    if not _SHA256.fullmatch(sha256):
        raise SetupError("expected 64 lower-case hex digits", field=f"{table.path}.sha256")
    return ModelFile(name, sha256, table.positive("size"), url)


def _entry(name: str, table: "_Table", files: Mapping[str, ModelFile]) -> CatalogueEntry:
    def file(key: str, default: str | None = None) -> ModelFile | None:
        wanted = table.text(key, default)
        if wanted and wanted not in files:
            raise SetupError(f"files has no {wanted!r}", field=f"{table.path}.{key}")
        return files[wanted] if wanted else None

    model = file("model")
    if model is None:
        raise SetupError("expected the name of a file", field=f"{table.path}.model")
    entry = CatalogueEntry(
        name=name,
        title=table.text("title"),
        licence=table.text("licence"),
        source=table.text("source"),
        model=model,
        labels=file("labels", ""),
        input=_image_input(table.table("input")) if "input" in table else None,
    )
    table.end()
    return entry


def _image_input(table: "_Table") -> ImageInput:
    channels = table.one_of("channels", tuple(_CHANNELS))
    quantised = table.flag("quantised")
    wanted = 0 if quantised else _CHANNELS[channels]
    value = ImageInput(
        height=table.positive("height"),
        width=table.positive("width"),
        channels=channels,
        layout=table.one_of("layout", ("NHWC", "NCHW")),
        quantised=quantised,
        fit=table.one_of("fit", ("stretch", "crop")),
        mean=table.numbers("mean", wanted),
        std=table.numbers("std", wanted),
    )
    if 0 in value.std:
        raise SetupError("nothing can be divided by 0", field=f"{table.path}.std")
    table.end()
    return value


class _Table:
    """A TOML table that is asked for its values by type and at the end for leftovers."""

    def __init__(self, values: object, path: str) -> None:
        self.path = path
        if not isinstance(values, Mapping):
            raise self._wrong("a table")
        self._values = dict(values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def table(self, key: str) -> "_Table":
        return _Table(self._values.pop(key, None), f"{self.path}.{key}".lstrip("."))

    def tables(self, key: str) -> Iterator[tuple[str, "_Table"]]:
        group = self.table(key)
        for name in list(group._values):
            yield name, group.table(name)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.pop(key, default)
        if isinstance(value, str) and (value or default == ""):
            return value
        raise self._wrong("text", key)

    def positive(self, key: str) -> int:
        value = self._values.pop(key, None)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        raise self._wrong("a whole number above 0", key)

    def flag(self, key: str) -> bool:
        value = self._values.pop(key, None)
        if isinstance(value, bool):
            return value
        raise self._wrong("true or false", key)

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        value = self._values.pop(key, None)
        if isinstance(value, str) and value in choices:
            return value
        raise self._wrong(f"one of {', '.join(choices)}", key)

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        value = self._values.pop(key, [])
        if (
            isinstance(value, list)
            and [type(item) in (int, float) for item in value] == [True] * count
        ):
            return tuple(float(item) for item in value)
        raise self._wrong(
            f"a list of {count} numbers" if count else "nothing, as it is quantised", key
        )

    def end(self) -> None:
        for key in self._values:
            raise SetupError("unknown field", field=f"{self.path}.{key}".lstrip("."))

    def _wrong(self, expected: str, key: str = "") -> SetupError:
        return SetupError(f"expected {expected}", field=f"{self.path}.{key}".strip("."))
