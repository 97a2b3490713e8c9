"""A ROOT file's tree and its branches, with every way that either may be wrong told in a line.

uproot reads a file that somebody else made, damaged or made to harm: whatever it raises is
told with the file's name. What a basket (a part of a branch) says of its size is read before
the basket is, so that a file that is cut short is found at once, and one that would fill the
memory too.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from gpfn.errors import SetupError

__all__ = ["MOST_BYTES", "RootTree", "basket_bytes", "readable"]

MOST_BYTES = 128 << 20
"""Bytes that a basket may have when it is unpacked; usual ones have up to some megabytes."""

_HEAD = struct.Struct(">4xi4x8s")
"""A file's version and the number of its bytes, behind ``root`` and where its records begin."""
_LARGE = 1_000_000
"""Is added to the version of a file whose number of bytes has eight of them."""
_SHOWN = 8
_NUMBERS = "biuf"
_KINDS = {(0, False): "one", (1, True): "several", (1, False): "array"}
"""By the axes that an entry has, and whether the first of them differs from entry to entry."""
_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple", "ROOT::Experimental::RNTuple")
_BIG_INT = np.dtype(">i4")
_KEY_BYTES = 10
"""Bytes of a basket's key as far as they are read: its size, a version, its size unpacked."""


class RootTree:
    """A tree of a ROOT file, by its name or as the only one that the file has.

    ``names`` are those that may be meant, the first that is there is. ``rows`` is the number of
    its entries. Raises SetupError for a file that is no ROOT file or has not that tree, or
    several when no name is given. Close it after use.
    """

    def __init__(self, path: str, names: Sequence[str] = ()) -> None:
        import uproot

        self.path = path
        _check_head(path)
        with readable(path):
            self._file = uproot.open({path: None}, handler=uproot.MemmapSource, array_cache=None)
        try:
            self.tree = self._found(names)
            with readable(path):
                self.rows = int(self.tree.num_entries)
        except BaseException:
            self.close()
            raise

    def _found(self, names: Sequence[str]) -> Any:
        with readable(self.path):
            there = _trees(self._file)
        wanted = [name for name in names if name in there]
        if not wanted and (names or len(there) != 1):
            raise _no_tree(self.path, names, list(there))
        with readable(self.path):
            return self._file[wanted[0] if wanted else next(iter(there))]

    @property
    def names(self) -> list[str]:
        """The names of all its branches, also of those that are not read."""
        with readable(self.path):
            return list(map(str, self.tree.keys()))

    def has(self, name: str) -> bool:
        """Say whether there is a branch of that name."""
        return self._branch(name) is not None

    def kind(self, name: str) -> str:
        """Return how many values of a branch an entry has.

        ``"one"``, ``"several"`` where the number differs, ``"array"`` where it is always the same.

        Raises SetupError for a branch that is not there, naming what is, for one whose values
        are no numbers, and for one that has not as many entries as its tree.
        """
        branch = self._branch(name)
        if branch is None:
            raise self.missing([name])
        with readable(self.path, name):
            kind, told = _kind(branch)
            length = int(branch.num_entries)
        if not kind:
            told = f"is of the type {told}; a branch of numbers is needed, or of lists of them"
            raise SetupError(told, field=f"{self.path}: {name}")
        if length != self.rows:
            told = f"has {length} entries, its tree has {self.rows}: the file is damaged"
            raise SetupError(told, field=f"{self.path}: {name}")
        return kind

    def missing(self, names: Sequence[str]) -> SetupError:
        """Return the error for a branch that is not there under any of its names."""
        known = self.names
        short = [name.rpartition("/")[2] for name in known]
        near = [each for name in names for each in get_close_matches(name, short, 3, 0.5)]
        told = f"no branch {' or '.join(names)}; "
        if near:
            told += f"there is {', '.join(dict.fromkeys(near))} and {len(known)} in all"
        else:
            told += f"there are {_shown(known)}"
        return SetupError(told, field=self.path)

    def bytes_of(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
        """Return where the baskets of a branch begin, with its end, and their sizes in bytes.

        None for an RNTuple, which has no baskets. Raises SetupError, with the branch, when one
        lies outside of the file or is larger than `MOST_BYTES`.
        """
        branch = self._branch(name)
        if not hasattr(branch, "basket_key"):
            return None
        with readable(self.path, name):
            starts = np.asarray(branch.entry_offsets, np.int64)
            sizes = basket_bytes(self.path, branch)
        if len(sizes) and int(sizes.max()) > MOST_BYTES:
            told = f"a basket has {int(sizes.max()) >> 20} MiB, more than {MOST_BYTES >> 20} MiB"
            raise SetupError(f"{told}; write it with smaller ones", field=f"{self.path}: {name}")
        return starts, sizes

    def _branch(self, name: str) -> Any:
        import uproot

        with readable(self.path, name):
            try:
                return self.tree[name]
            except uproot.KeyInFileError:
                return None

    def close(self) -> None:
        """Close the file."""
        with suppress(Exception):  # nobody reads it any more
            self._file.close()


@contextmanager
def readable(path: str, branch: str = "") -> Iterator[None]:
    """Turn whatever reading raises into a SetupError that names the file and the branch."""
    try:
        yield
    except SetupError:
        raise
    except Exception as error:  # a damaged file makes a library raise anything
        where = f"{path}: {branch}" if branch else path
        why = " ".join(str(error).split()) or type(error).__name__
        told = f"cannot be read, it is damaged or cut short: {why[:200]}"
        raise SetupError(told, field=where) from error


def _check_head(path: str) -> None:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD.size)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise SetupError(f"cannot read it: {error.strerror}", field=path) from error
    if not head.startswith(b"root"):
        told = "an empty file" if not head else "no ROOT file: it does not begin with 'root'"
        raise SetupError(told, field=path)
    version, number = _HEAD.unpack(head.ljust(_HEAD.size, b"\0"))
    end = int.from_bytes(number if version >= _LARGE else number[:4], "big", signed=True)
    if size < max(end, _HEAD.size):
        told = f"is cut short: it has {size} bytes, and says that it has {end}"
        raise SetupError(told, field=path)


def _trees(file: Any) -> dict[str, str]:
    """Return the names of a file's trees, also of those in its directories."""
    classes = file.classnames(cycle=False)
    return {name: kind for name, kind in classes.items() if kind in _TREES}


def _no_tree(path: str, names: Sequence[str], there: Sequence[str]) -> SetupError:
    if not there:
        return SetupError("no tree in this file", field=path)
    if names:
        told = f"no tree {' or '.join(names)}; there is {_shown(there)}"
        return SetupError(f"{told}: say which is meant by --tree NAME", field=path)
    told = f"{len(there)} trees, {_shown(there)}: say which is meant by --tree NAME"
    return SetupError(told, field=path)


def _shown(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _kind(branch: Any) -> tuple[str, str]:
    """Return whether a branch has one value or several, or nothing and what it has instead."""
    told = str(branch.typename)
    if hasattr(branch, "interpretation"):
        return _kind_of_interpretation(branch.interpretation), told
    return _kind_of_layout(branch.array(entry_stop=0, library="ak").layout), told


def _kind_of_interpretation(interpretation: Any) -> str:
    from uproot.interpretation.jagged import AsJagged
    from uproot.interpretation.numerical import AsDtype

    several = isinstance(interpretation, AsJagged)
    if several:
        interpretation = interpretation.content
    if type(interpretation) is not AsDtype or interpretation.to_dtype.base.kind not in _NUMBERS:
        return ""
    return _KINDS.get((len(interpretation.to_dtype.shape) + several, several), "")


def _kind_of_layout(layout: Any) -> str:
    several = layout.is_list and not layout.is_regular
    axes = layout.purelist_depth - 1
    while layout.is_list:
        layout = layout.content
    plain = layout.is_numpy and layout.data.ndim == 1 and layout.data.dtype.kind in _NUMBERS
    return _KINDS.get((axes, several), "") if plain and not layout.parameters else ""


def basket_bytes(path: str, branch: Any) -> npt.NDArray[np.int64]:
    """Return how many bytes each basket of a branch has when it is unpacked.

    Raises ValueError when one lies outside of the file. Baskets inside of the tree itself,
    which are in memory, are told as 0.
    """
    number = len(branch.entry_offsets) - 1
    seeks = np.asarray(branch.member("fBasketSeek")[:number], np.int64)
    packed = np.asarray(branch.member("fBasketBytes")[:number], np.int64)
    sizes = np.zeros(number, np.int64)
    outside = np.flatnonzero(seeks)
    length = os.path.getsize(path)
    seeks = seeks[outside]
    if not len(seeks):
        return sizes
    if seeks.min() < 0 or (seeks + np.maximum(packed[outside], _KEY_BYTES)).max() > length:
        raise ValueError(f"a basket lies after the file's {length} bytes")
    content = np.memmap(path, np.uint8, "r")
    keys = content[seeks[:, None] + np.arange(6, _KEY_BYTES)]
    sizes[outside] = np.ascontiguousarray(keys).view(_BIG_INT)[:, 0]
    return sizes
