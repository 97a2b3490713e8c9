"""Which columns of a file are the features, and their values as float32.

What is no number is refused with its file, column and row: a model takes numbers, and whoever
sends rows to it later has to send the same.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np
from label_texts import label

from gpfn.data.seam import Chunk
from gpfn.errors import SetupError

__all__ = [
    "MOST",
    "as_numbers",
    "choose_features",
    "is_pattern",
    "kinds_of",
    "targets_of",
    "words",
]

_LARGEST = 2**53
"""Beyond it a double does not have every whole number: such a column holds ids, no amounts."""
MOST = 1e37
"""Numbers beyond it are taken for infinite: their differences are, in float32."""
_SHOWN = 8
_SPECIAL = {"M": "a date", "m": "a duration", "O": "text", "S": "bytes", "U": "text"}


def is_pattern(word: str) -> bool:
    """Say whether a word of a list of columns may stand for several of them."""
    return "*" in word or "?" in word


def choose_features(
    names: Sequence[str], wanted: str, dropped: str, others: Iterable[str], path: str
) -> tuple[str, ...]:
    """Return the columns that are features, in their order: all, or those that are wanted.

    ``wanted`` and ``dropped`` are lists with commas, in which ``*`` and ``?`` stand for any
    text and any character; a name in ``wanted`` need not be among ``names`` when it can be read
    all the same, such as ``Jet_pt[0]``. ``others`` are never features. Raises SetupError for
    what fits no column, and when nothing is left.
    """
    chosen = list(_matched(wanted, names, "--features", path)) if wanted else list(names)
    gone = set(_matched(dropped, names, "--drop", path)) | set(others)
    for name in chosen if wanted else ():
        if name in others and name in words(wanted):
            raise SetupError(f"{name} is the target and cannot be a feature", field="--features")
    left = tuple(name for name in chosen if name not in gone)
    if not left:
        told = f"no column is left for a feature; there are {_few(names)}"
        raise SetupError(told, field=path)
    return left


def _missing(word: str, names: Sequence[str], option: str, path: str) -> SetupError:
    near = get_close_matches(word, names, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {_few(names)}"
    return SetupError(f"{path} has no column {word!r}; {hint}", field=option)


def words(listed: str) -> list[str]:
    """Return the words of a list with commas."""
    return [word.strip() for word in listed.split(",") if word.strip()]


def _matched(listed: str, names: Sequence[str], option: str, path: str) -> dict[str, None]:
    """Return the columns that a list means, in its order, as keys."""
    found: dict[str, None] = {}
    for word in words(listed):
        form = re.escape(word).replace(r"\*", ".*").replace(r"\?", ".")
        some = [name for name in names if re.fullmatch(form, name)]
        if word in names or (option == "--features" and not is_pattern(word)):
            some = [word]  # one that is no column has been asked for already
        if not some:
            raise _missing(word, names, option, path)
        found.update(dict.fromkeys(some))
    return found


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def as_numbers(chunk: Chunk, names: Sequence[str], path: str) -> np.ndarray:
    """Return columns of a chunk as float32 [rows, names]; NaN where one is missing.

    Raises SetupError for a column of anything but numbers and truth values, and for whole
    numbers that a model cannot tell apart.
    """
    values = np.empty((chunk.rows, len(names)), np.float32)
    wrong = []
    for place, name in enumerate(names):
        found = _numbers(chunk, name, path)
        if found is None:
            wrong.append(name)
        else:
            with np.errstate(over="ignore"):  # 1e39 is infinite in float32, and set aside as such
                values[:, place] = found
    if wrong:
        raise _no_numbers(chunk, wrong, path)
    return values


def _numbers(chunk: Chunk, name: str, path: str) -> np.ndarray | None:
    """Return a column as float64 [rows], or None when it is of something else."""
    column = chunk.columns[name]
    missing = chunk.missing.get(name)
    if column.ndim != 1:
        told = f"column {name!r} has several values a row; name them with --mapping"
        raise SetupError(f"{told}, or leave it out with --drop {name}", field=path)
    if column.dtype == object and all(value is None for value in column):
        return np.full(len(column), np.nan)
    if column.dtype.kind not in "biuf":
        return None
    if column.dtype.kind in "iu":
        _check_whole(column, name, chunk.first, path)
    found = column.astype(np.float64)
    if missing is not None:
        found[missing] = np.nan
    return found


def kinds_of(chunk: Chunk, names: Iterable[str]) -> set[tuple[str, str]]:
    """Return the names of columns that have a value in a chunk, each with its dtype's letter."""
    gaps = {name for name, mask in chunk.missing.items() if mask.all()}
    return {(name, chunk.columns[name].dtype.kind) for name in names if name not in gaps}


def _check_whole(column: np.ndarray, name: str, first: int, path: str) -> None:
    beyond = (column > _LARGEST) | (column < -_LARGEST)
    if beyond.any():
        told = f"column {name!r}, row {first + int(beyond.argmax()) + 1}: a whole number over 2**53"
        way = f"is an id and no amount; leave it out with --drop {name}"
        raise SetupError(f"{told} {way}", field=path)


def _no_numbers(chunk: Chunk, names: Sequence[str], path: str) -> SetupError:
    """Return the error for columns of other things; it names the first row of the first."""
    column = chunk.columns[names[0]]
    row = next((at for at, value in enumerate(column) if not _is_number(value)), 0)
    kind = _SPECIAL.get(column.dtype.kind, str(column.dtype))
    told = f"column {names[0]!r}, row {chunk.first + row + 1}: {kind}, where a model takes numbers"
    also = f" (and {len(names) - 1} more column{'s' * (len(names) > 2)})" if names[1:] else ""
    way = f"encode it as numbers, or leave it out with --drop '{','.join(names)}'"
    return SetupError(f"{told}{also}; {way}", field=path)


def _is_number(value: object) -> bool:
    if value is None:
        return True
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def targets_of(chunk: Chunk, name: str, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of a chunk and which are missing, bool [rows].

    Numbers are float64 [rows], texts and truth values an object array [rows] of str, with one
    space where there are several or the end of a line. Raises SetupError for lists, dates and ids.
    """
    column = chunk.columns[name]
    missing = chunk.missing.get(name, np.zeros(chunk.rows, bool)).copy()
    kind = column.dtype.kind
    if column.ndim != 1 or kind not in "biufO":
        what = "lists" if column.ndim != 1 else _SPECIAL.get(kind, str(column.dtype))
        told = f"column {name!r} has {what}; a target is a number, a text or a truth value"
        raise SetupError(told, field=path)
    if kind == "O":
        words = ["" if value is None else label(value) for value in column]
        return np.array(words, object), missing | np.array([not word for word in words], bool)
    if kind == "b":
        return np.where(column, "true", "false").astype(object), missing
    if kind in "iu":
        _check_whole(column, name, chunk.first, path)
    found = column.astype(np.float64)
    return found, missing | ~(np.abs(found) <= MOST)
