"""A condition on columns, such as ``Jet_pt[0] > 30 and nMuon >= 2``: which rows are taken.

A small language of its own, read by :mod:`gpfn.data.cut_parser`: nothing of it is Python that
runs. It is computed on whole columns. ``&``, ``&&`` and ``and`` are the same and bind weaker
than a comparison, as people mean them who write ``mass > 120 & mass < 130``; so do ``|`` and
``!``. What is missing or no number fulfils no comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from gpfn.data.cut_parser import FUNCTIONS, Node, WrongCut, parse_cut
from gpfn.errors import SetupError

__all__ = ["Cut"]

_Array = npt.NDArray[Any]
_Binary = Callable[[Any, Any], Any]

_COMPARED: Mapping[str, _Binary] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_COMPUTED: Mapping[str, _Binary] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "%": np.mod,
    "**": np.power,
}
_COMBINED: Mapping[str, _Binary] = {"and": np.logical_and, "or": np.logical_or}
_TOLD = {"condition": "a condition", "number": "a number", "text": "a text"}
_UNCOMPARED = "condition", "number"
_NUMBERS = frozenset({"number", "minus", "computed", "call"})
_SHOWN = 6
_LARGEST = 2**63 - 1
_NOTHING = np.array(None, object)


class Cut:
    """A condition that is read once and asked of each chunk of rows.

    ``columns`` are the names of the columns that it needs, in the order of their first use.
    Raises SetupError, which names the position, for what is no condition; ``option`` is where
    the text came from.
    """

    def __init__(self, text: str, option: str = "--signal-region") -> None:
        self.text = text
        self._option = option
        try:
            self._root = parse_cut(text)
        except WrongCut as error:
            raise self._wrong(error) from None
        self.columns: tuple[str, ...] = tuple(dict.fromkeys(_names(self._root)))

    def check_columns(self, known: Sequence[str], where: str = "") -> None:
        """Raise SetupError, with names that are near, when a column is not ``known``."""
        for node in _walk(self._root):
            if node.kind == "column" and node.text not in known:
                near = get_close_matches(node.text, known, 3)
                hint = f"did you mean {' or '.join(near)}?" if near else f"there are {_few(known)}"
                told = f"no column {node.text!r}{f' in {where}' if where else ''}; {hint}"
                raise self._wrong(WrongCut(told, node.at))

    def kind_of(self, column: str) -> str:
        """Return what a column is taken for, ``text`` or ``number``; empty where none is beside it.

        It is for columns that have no type of their own.
        """
        kinds = {_asked(node, column) for node in _walk(self._root)}
        return next((kind for kind in ("text", "number") if kind in kinds), "")

    def __call__(self, columns: Mapping[str, _Array]) -> npt.NDArray[np.bool_]:
        """Return which rows fulfil it, bool [rows], from arrays [rows] by their names.

        Text columns are object arrays of str. Raises SetupError for a text where a number is
        needed, for a number where a condition is needed, and for a column that is not there.
        """
        self.check_columns(tuple(columns))
        rows = len(next(iter(columns.values()))) if columns else 0
        try:
            with np.errstate(all="ignore"):  # 1/0 and log(-1) are inf and NaN, as the text says
                found = _value(self._root, columns)
            _expect(found, "condition", self._root)
        except WrongCut as error:
            raise self._wrong(error) from None
        return np.broadcast_to(np.asarray(found, np.bool_), (rows,))

    def _wrong(self, error: WrongCut) -> SetupError:
        told = f"{error.told}, at character {error.at + 1} of {self.text!r}"
        return SetupError(told, field=self._option)


def _walk(node: Node) -> list[Node]:
    return [node, *(inner for part in node.parts for inner in _walk(part))]


def _names(root: Node) -> list[str]:
    return [node.text for node in _walk(root) if node.kind == "column"]


def _asked(node: Node, column: str) -> str:
    """Return what a column, which is a part of a node, has to be for it."""
    kinds = {part.kind for part in node.parts}
    if all(part.kind != "column" or part.text != column for part in node.parts):
        return ""
    if node.kind == "compared" and "text" in kinds:
        return "text"
    return "number" if node.kind in _NUMBERS or kinds & _NUMBERS else ""


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _value(node: Node, columns: Mapping[str, _Array]) -> Any:
    return _VALUES[node.kind](node, columns)


def _column(node: Node, columns: Mapping[str, _Array]) -> Any:
    values = columns[node.text]
    if values.ndim != 1:
        told = f"{node.text} has several values a row; take one of them, such as {node.text}[0]"
        raise WrongCut(told, node.at)
    return values


def _kind(value: Any) -> str:
    """Return what a value is: a condition, a number or a text."""
    kind = np.asarray(value).dtype.kind
    return "condition" if kind == "b" else "number" if kind in "iuf" else "text"


def _expect(value: Any, wanted: str, node: Node) -> Any:
    found = _kind(value)
    if found != wanted and not (wanted == "number" and found == "condition"):
        hint = "; compare it, such as with > 0" if (wanted, found) == _UNCOMPARED else ""
        raise WrongCut(f"expected {_TOLD[wanted]}, got {_TOLD[found]}{hint}", node.at)
    return value


def _number(node: Node, columns: Mapping[str, _Array]) -> Any:
    return _expect(_value(node, columns), "number", node)


def _combined(node: Node, columns: Mapping[str, _Array]) -> Any:
    left, right = (_expect(_value(part, columns), "condition", part) for part in node.parts)
    return _COMBINED[node.text](left, right)


def _inverted(node: Node, columns: Mapping[str, _Array]) -> Any:
    return np.logical_not(_expect(_value(node.parts[0], columns), "condition", node.parts[0]))


def _computed(node: Node, columns: Mapping[str, _Array]) -> Any:
    left, right = (np.asarray(_number(part, columns), np.float64) for part in node.parts)
    return _COMPUTED[node.text](left, right)


def _compared(node: Node, columns: Mapping[str, _Array]) -> Any:
    """Compare two values; a chain of comparisons is an ``and`` of them already."""
    left, right = (_value(part, columns) for part in node.parts)
    kinds = _kind(left), _kind(right)
    if "text" not in kinds:
        known = np.logical_not(_unknown(left) | _unknown(right))
        return np.logical_and(known, _COMPARED[node.text](left, right))
    if kinds != ("text", "text"):
        told = f"a text is compared with {_TOLD[kinds[kinds[0] == 'text']]}"
        raise WrongCut(told, node.at)
    if node.text not in ("==", "!="):
        raise WrongCut(f"texts are equal or not; {node.text} is for numbers", node.at)
    known = np.logical_not(np.equal(left, _NOTHING) | np.equal(right, _NOTHING))
    return np.logical_and(known, _COMPARED[node.text](left, right).astype(np.bool_))


def _unknown(values: Any) -> Any:
    return np.isnan(values) if np.asarray(values).dtype.kind == "f" else np.False_


def _literal(node: Node, _: Mapping[str, _Array]) -> Any:
    """Return a number: a whole one as such, so that a long id is compared digit by digit."""
    whole = node.text.isdigit() and len(node.text) < 20 and int(node.text) <= _LARGEST
    return int(node.text) if whole else float(node.text)


def _called(node: Node, columns: Mapping[str, _Array]) -> Any:
    function = getattr(np, FUNCTIONS[node.text].numpy)
    return function(*(np.asarray(_number(part, columns), np.float64) for part in node.parts))


_VALUES: Mapping[str, Callable[[Node, Mapping[str, _Array]], Any]] = {
    "column": _column,
    "number": _literal,
    "text": lambda node, _: np.asarray(node.text, object),
    "truth": lambda node, _: np.bool_(node.text == "true"),
    "combined": _combined,
    "not": _inverted,
    "computed": _computed,
    "compared": _compared,
    "minus": lambda node, columns: -np.asarray(_number(node.parts[0], columns), np.float64),
    "call": _called,
}
