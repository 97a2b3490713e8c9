"""Models known by name: a file of several descriptions, each under ``models.NAME``.

Ours is data, ``models/catalogue.toml`` in the repository and a copy of it in an installed
package; ``GPFN_CATALOGUE`` is the path of another one, whose models come first. It is checked
when it is read; errors name the key and the file. The format is that of ``model.toml``,
see `gpfn.models.description`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from gpfn.errors import SetupError
from gpfn.models.description import Description, parse_description
from gpfn.models.toml_table import Table, read_toml

__all__ = [
    "MODEL_NAME",
    "VARIABLE",
    "Catalogue",
    "bundled_catalogue",
    "bundled_folder",
    "default_catalogue",
    "forget_catalogues",
    "parse_catalogue",
    "read_catalogue",
]

VARIABLE = "GPFN_CATALOGUE"
"""The environment variable that names a catalogue of one's own."""

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a model may be called."""


class Catalogue:
    """The models, in the order in which they are listed; each known by its aliases too.

    Raises SetupError when two models share a name.
    """

    __slots__ = ("_by_name", "entries")

    def __init__(self, entries: tuple[Description, ...]) -> None:
        self.entries = entries
        self._by_name: dict[str, Description] = {}
        for entry in entries:
            for name in (entry.name, *entry.aliases):
                if self._by_name.setdefault(name, entry) is not entry:
                    other = self._by_name[name].name
                    raise SetupError(
                        f"{name!r} is a name of {other} as well", field=f"models.{entry.name}"
                    )

    def __iter__(self) -> Iterator[Description]:
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def get(self, name: str) -> Description:
        """Return the model of a name or an alias.

        Raises SetupError with the known names if there is none.
        """
        if name in self._by_name:
            return self._by_name[name]
        known = ", ".join(entry.name for entry in self.entries)
        raise SetupError(f"no model named {name!r}; the catalogue has: {known}", field="name")


def bundled_folder() -> Path:
    """Return the folder of our catalogue and of the models that come with gpfn.

    In an installed package it lies beside this module, in a checkout it is ``models/``.
    """
    installed = Path(__file__).with_name("bundled")
    return installed if installed.is_dir() else Path(__file__).resolve().parents[3] / "models"


def default_catalogue() -> Catalogue:
    """Return the models of the catalogue that ``GPFN_CATALOGUE`` names, then those of ours.

    A name or an alias there is its own model's, whatever ours has by it. Each file is read
    once. Raises SetupError when it is unreadable or wrong.
    """
    return _joined(os.environ.get(VARIABLE, ""))


def bundled_catalogue() -> Catalogue:
    """Return the models of our own catalogue alone, as images and packages have them."""
    return _joined("")


def forget_catalogues() -> None:
    """Let the catalogues be read again: one of them was changed by this process."""
    _joined.cache_clear()


@cache
def _joined(named: str) -> Catalogue:
    ours = read_catalogue(bundled_folder() / "catalogue.toml")
    if not named:
        return ours
    own = read_catalogue(Path(named)).entries
    taken = {name for entry in own for name in (entry.name, *entry.aliases)}
    rest = [
        entry._replace(aliases=tuple(name for name in entry.aliases if name not in taken))
        for entry in ours
        if entry.name not in taken
    ]
    return Catalogue((*own, *rest))


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue file; files without a URL lie beside it.

    Raises SetupError, naming the key and the file, when it is unreadable or wrong.
    """
    return _parse(read_toml(path), str(path.parent))


def parse_catalogue(document: Mapping[str, object], *, folder: str = "") -> Catalogue:
    """Check a parsed catalogue; files without a URL lie in ``folder``.

    Raises SetupError with the path of the key when it is wrong.
    """
    return _parse(Table(document), folder)


def _parse(top: Table, folder: str) -> Catalogue:
    if "models" not in top:
        raise top.wrong("expected a table", "models")
    entries = []
    for name, table in top.tables("models"):
        if not MODEL_NAME.fullmatch(name):
            raise table.wrong("expected a name of letters, digits, '.', '_' and '-'")
        entries.append(parse_description(name, table, folder=folder, complete=True))
    top.end()
    return Catalogue(tuple(entries))
