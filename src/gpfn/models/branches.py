"""What ``model.toml`` says of ROOT files: which branches are a model's inputs, and in which order.

An event of a ROOT file has branches with one value, such as ``MET_pt``, and branches with as
many values as there are objects in it, such as ``Jet_pt``. A model takes a vector of fixed
length. A mapping lists what that vector is made of: ``MET_pt`` is one value, ``Jet_pt[0:8]`` the
first eight, padded where there are fewer, ``Jet_pt[0]`` the first, and ``count(Jet_pt)`` says how
many there are. A list of names stands for the first of them that a file has.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from gpfn.models.toml_table import Table

__all__ = ["BranchInput", "BranchMapping", "Pick", "parse_branches", "parse_pick"]

_SLICE = re.compile(r"(?P<name>[^\[\]()]+)(\[(?P<start>\d{1,9})(?P<to>:(?P<stop>\d{1,9}))?\])?")
_COUNT = re.compile(r"count\((?P<name>[^\[\]()]+)\)")
_FORMS = 'expected "MET_pt", "Jet_pt[0:8]", "Jet_pt[0]" or "count(Jet_pt)"'
_MOST_INPUTS = 65536
_FLOAT32 = 3.4028234663852886e38


class Pick(NamedTuple):
    """Values of one branch: all that an event has, or those from ``start`` to before ``stop``.

    A ``stop`` of 0 means that the branch has one value an event. ``counted`` asks for how many
    values there are, not for the values.
    """

    branch: str
    start: int = 0
    stop: int = 0
    counted: bool = False

    @property
    def width(self) -> int:
        """How many values of the vector it makes."""
        return self.stop - self.start if self.stop else 1

    @property
    def names(self) -> list[str]:
        """What the values are called: ``Jet_pt[0]`` and so on."""
        if self.counted:
            return [f"count({self.branch})"]
        if not self.stop:
            return [self.branch]
        return [f"{self.branch}[{number}]" for number in range(self.start, self.stop)]


class BranchInput(NamedTuple):
    """A part of the vector: the first of ``choices`` whose branch is there.

    ``padding`` stands where an event has too few values; ``place`` is where the mapping says
    all this, for errors.
    """

    choices: tuple[Pick, ...]
    padding: float = 0.0
    place: str = "branches.inputs"


class BranchMapping(NamedTuple):
    """How an event becomes a model's vector of float32.

    ``tree`` are the names of the tree, of which the first that is there is read; without any,
    a file has to have one tree only. ``origin`` is the file that says it.
    """

    inputs: tuple[BranchInput, ...]
    tree: tuple[str, ...] = ()
    origin: str = ""

    @property
    def width(self) -> int:
        """The length of the vector."""
        return sum(each.choices[0].width for each in self.inputs)

    @property
    def names(self) -> list[str]:
        """What the values of the vector are called, in order: of choices as the first of them."""
        return [name for each in self.inputs for name in each.choices[0].names]


def parse_branches(table: Table) -> BranchMapping | None:
    """Return the ``branches`` of a description; None where it has none. Raises SetupError."""
    inner = table.optional("branches")
    if inner is None:
        return None
    padding = _padding(inner, 0.0)
    tree = _tree(inner)
    inputs = tuple(_input(inner, number, each, padding) for number, each in _listed(inner))
    inner.end()
    found = BranchMapping(inputs, tree, inner.origin)
    if found.width > _MOST_INPUTS:
        raise inner.wrong(f"makes {found.width} values, more than {_MOST_INPUTS}", "inputs")
    _check_each_once(inner, found)
    return found


def _tree(table: Table) -> tuple[str, ...]:
    if table.is_list("tree"):
        return table.matches("tree", re.compile(r".+"), "names of trees")
    name = table.text("tree", "")
    return (name,) if name else ()


def _listed(table: Table) -> list[tuple[int, object]]:
    found = table.given(["inputs"]).get("inputs")
    if not isinstance(found, list) or not found:
        raise table.wrong(f"expected a list of branches, each {_FORMS[9:]}", "inputs")
    return list(enumerate(found))


def _input(table: Table, number: int, value: object, padding: float) -> BranchInput:
    """Return an input: a text, a list of them, or a table that has its own padding too."""
    place = f"{table.place_of('inputs')}[{number}]"
    if isinstance(value, dict):
        inner = Table(value, place, table.origin)
        value = inner.given(["branch"]).get("branch")
        padding = _padding(inner, padding)
        inner.end()
        place = inner.place_of("branch")
    told = Table({}, place, table.origin)
    texts = value if isinstance(value, list) and value else [value]
    choices = tuple(_pick(told, text) for text in texts)
    if len(set(choices)) < len(choices):
        raise told.wrong("has a name twice")
    if len({choice.width for choice in choices}) > 1:
        raise told.wrong("each of several names has to make as many values as the others")
    return BranchInput(choices, padding, place)


def parse_pick(text: str) -> Pick | None:
    """Return what a text such as ``Jet_pt[0:8]`` asks for; None for one of another form.

    The second number of a slice may be too small: then its width is 0 or below.
    """
    if asked := _COUNT.fullmatch(text):
        return Pick(asked["name"], counted=True)
    found = _SLICE.fullmatch(text)
    if not found:
        return None
    if found["start"] is None:
        return Pick(text)
    start = int(found["start"])
    stop = int(found["stop"]) if found["to"] else start + 1
    return Pick(found["name"], start, stop or -1)


def _pick(told: Table, text: object) -> Pick:
    found = parse_pick(text) if isinstance(text, str) else None
    if found is None:
        raise told.wrong(f"{text!r}: {_FORMS}; a slice counts from 0 and has both ends")
    if found.stop and found.stop <= found.start:
        raise told.wrong(f"{text!r} has no value: the second number is the first one left out")
    if found.width > _MOST_INPUTS:
        raise told.wrong(f"{text!r} makes {found.width} values, more than {_MOST_INPUTS}")
    return found


def _padding(table: Table, default: float) -> float:
    value = table.given(["padding"]).get("padding", default)
    fits = type(value) in (int, float) and not _FLOAT32 < abs(value) < math.inf
    if not fits:
        raise table.wrong("expected a number that a float32 can hold, or nan", "padding")
    return float(value)


def _check_each_once(table: Table, mapping: BranchMapping) -> None:
    seen: dict[str, str] = {}
    for each in mapping.inputs:
        for name in each.choices[0].names:
            if name in seen:
                told = Table({}, each.place, table.origin)
                raise told.wrong(f"{name} is there twice, also at {seen[name]}")
            seen[name] = each.place
