"""The rows that a network learns from: out of files, selected, counted, and bounded in number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from label_texts import amounts_of, is_gap, typed
from reservoir import Reservoir
from tabular_columns import (
    MOST,
    as_numbers,
    choose_features,
    is_pattern,
    kinds_of,
    targets_of,
    words,
)

from gpfn.data.cut import Cut
from gpfn.data.formats import find_format, open_source
from gpfn.data.seam import Chunk, ColumnSource
from gpfn.errors import SetupError
from gpfn.models.branches import BranchMapping

__all__ = ["DataFile", "Rows", "Wanted", "read_rows"]

FEATURES = "features"
"""The column that a mapping makes of the branches of a ROOT file."""
_CHUNK = 65_536  # rows
_CHUNK_VALUES = 8_000_000
_MOST_VALUES = 50_000_000
"""Values of the sample where its rows are not said: 200 MB of float32."""
_MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of rows; ``label`` is the class of all of them when the file says it."""

    path: Path
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows and columns are wanted; ``target`` is empty when the files are the classes."""

    target: str = ""
    features: str = ""
    drop: str = ""
    region: Cut | None = None
    missing: str = "drop"
    """``drop`` sets rows with a missing value aside, ``median`` keeps them."""
    most: int = 0
    """Rows of the sample at most; 0 is what fits."""
    seed: int = 0
    mapping: BranchMapping | None = None
    """How branches of ROOT files become the features."""


@dataclass(slots=True)
class Counts:
    """How many rows were read, and why some of them were not used."""

    read: int = 0
    unreadable: int = 0
    outside_region: int = 0
    without_target: int = 0
    with_missing: int = 0
    not_finite: int = 0
    usable: int = 0


@dataclass(slots=True)
class Rows:
    """The sample: values float32 [n, features] and targets, float64 [n] or labels [n].

    A value is NaN where it is missing and such rows are kept. ``switches`` are features that
    are true or false in every file.
    """

    features: tuple[str, ...]
    values: np.ndarray
    targets: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()


def read_rows(
    files: Sequence[DataFile], wanted: Wanted, progress: Callable[[str, int, int], None]
) -> Rows:
    """Read all files, a chunk at a time, and return a bounded sample of the usable rows.

    ``progress`` is called with a file's name, and how far it is read of how much. Raises
    SetupError, which names file, column and row.
    """
    features: tuple[str, ...] = ()
    kinds: set[tuple[str, str]] = set()
    counts, sample = Counts(), None
    for file in files:
        source = _opened(file.path, wanted)
        try:
            features = _checked(source, file, wanted, features)
            sample = sample or _sample(wanted, len(features))
            for values, targets, found in _used(source, file, wanted, features, counts):
                sample.add(values, targets)
                kinds |= found
                progress(file.path.name, *source.extent)
        finally:
            source.close()
    counts.usable = sample.seen if sample else 0
    if sample is None or not sample.kept:
        raise _nothing(files, wanted, counts)
    values, targets = sample.rows()
    if wanted.target and any(_is_text(file.path) for file in files):
        targets = _decided(targets)
    others = {name for name, kind in kinds if kind != "b"}
    switches = frozenset(name for name, _ in kinds if name not in others)
    return Rows(features, values, targets, asdict(counts), switches)


def _opened(path: Path, wanted: Wanted) -> ColumnSource:
    if wanted.mapping is not None:
        return open_source(path, mapping=wanted.mapping)
    if wanted.target and _is_text(path):  # blocks would have types of their own
        return open_source(path, types={wanted.target: "string"})
    return open_source(path)


def _is_text(path: Path) -> bool:
    """Say whether a file's format leaves open what is a number and what a text."""
    return "types" in find_format(path).options


def _decided(targets: np.ndarray) -> np.ndarray:
    """Return targets that came as text as what all of them are, truth values as labels."""
    found = typed(targets) if targets.dtype == object else targets
    return np.where(found, "true", "false").astype(object) if found.dtype == bool else found


def _sample(wanted: Wanted, width: int) -> Reservoir:
    most = wanted.most or max(1, min(_MOST_ROWS, _MOST_VALUES // width))
    try:
        return Reservoir(most, width, wanted.seed)
    except MemoryError:
        told = f"{most:,} rows of {width} columns do not fit into memory; take fewer"
        raise SetupError(told, field="--max-rows") from None


def _checked(
    source: ColumnSource, file: DataFile, wanted: Wanted, features: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the features, which the first file decides and every other one has to have."""
    path, names = str(file.path), source.names
    exact = features or [word for word in words(wanted.features) if not is_pattern(word)]
    asked = [wanted.target] if wanted.target else []
    if wanted.region is not None:
        parts = [name for name in wanted.region.columns if "[" in name or "(" in name]
        wanted.region.check_columns([*names, *parts], path)
        asked += parts
    if wanted.mapping is None:
        asked += exact
    _check_readable(file.path, [name for name in asked if name not in names], wanted)
    if wanted.mapping is not None:
        if wanted.target in wanted.mapping.names:
            told = f"--mapping makes a feature of {wanted.target}, which is to be learnt"
            raise SetupError(told, field="--target")
        return tuple(wanted.mapping.names)
    if features:
        return features
    others, all_names = {wanted.target} - {""}, (*names, *source.unreadable)
    found = choose_features(all_names, wanted.features, wanted.drop, others, path)
    lost = [name for name in found if name in source.unreadable]
    if lost:
        told = f"column {lost[0]!r}: {source.unreadable[lost[0]]}"
        raise SetupError(f"{told}; leave it out with --drop '{','.join(lost)}'", field=path)
    return found


def _check_readable(path: Path, columns: Sequence[str], wanted: Wanted) -> None:
    """Let the reader say whether columns can be read that are not among its names.

    Such as ``Jet_pt[0]`` can; of a nested or a misspelt one it says what is wrong.
    """
    if not columns:
        return
    source = _opened(path, wanted)  # one of its own, for this one begins to read
    try:
        next(source.chunks(columns, 1), None)
    finally:
        source.close()


def _used(
    source: ColumnSource,
    file: DataFile,
    wanted: Wanted,
    features: tuple[str, ...],
    counts: Counts,
) -> Iterator[tuple[np.ndarray, np.ndarray, set[tuple[str, str]]]]:
    """Give values and targets of the rows of a file that can be learnt from.

    With the kinds of the columns, as in :func:`tabular_columns.kinds_of`.
    """
    others = [wanted.target] if wanted.target else []
    cut = wanted.region.columns if wanted.region else ()
    inputs = features if wanted.mapping is None else (FEATURES,)
    columns = list(dict.fromkeys((*inputs, *others, *cut)))
    for chunk in source.chunks(columns, max(1, min(_CHUNK, _CHUNK_VALUES // len(features)))):
        left = _selected(chunk, file, wanted, counts)
        values = chunk.columns.get(FEATURES) if wanted.mapping else None
        kinds = kinds_of(chunk, () if wanted.mapping else features)
        if values is None:
            values = as_numbers(chunk, features, str(file.path))
        targets, unknown = _targets(chunk, file, wanted)
        counts.without_target += _take(left, unknown)
        counts.not_finite += _take(left, (np.abs(values) > MOST).any(axis=1))
        gaps = np.isnan(values).any(axis=1)
        dropped = wanted.missing == "drop"
        counts.with_missing += _take(left, gaps) if dropped else int(gaps[left].sum())
        yield values[left], targets[left], kinds


def _take(left: np.ndarray, away: np.ndarray) -> int:
    """Take rows out of those that are left; return how many that were."""
    gone = left & away
    left &= ~away
    return int(gone.sum())


def _selected(chunk: Chunk, file: DataFile, wanted: Wanted, counts: Counts) -> np.ndarray:
    """Return which rows of a chunk could be read and are inside of the region, bool [rows]."""
    left = np.ones(chunk.rows, bool)
    left[list(chunk.faults)] = False
    counts.read += chunk.rows
    counts.unreadable += len(chunk.faults)
    if wanted.region is not None:
        columns = {name: _with_gaps(chunk, name) for name in wanted.region.columns}
        if wanted.target in columns and _is_text(file.path):
            kind = wanted.region.kind_of(wanted.target)
            columns[wanted.target] = _compared(columns[wanted.target], kind)
        inside = wanted.region(columns)
        counts.outside_region += _take(left, ~inside)
    return left


def _with_gaps(chunk: Chunk, name: str) -> np.ndarray:
    """Return a column in which a missing value is NaN or None, which fulfils no comparison."""
    column, missing = chunk.columns[name], chunk.missing.get(name)
    if missing is None or column.dtype.kind in "fO":
        return column
    found = column.astype(np.float64)
    found[missing] = np.nan
    return found


def _compared(texts: np.ndarray, kind: str) -> np.ndarray:
    """Return a target that came as text as the kind of thing that the cut compares it with.

    Where the cut says none, it is what all texts of the chunk are that are no gaps.
    """
    if kind:
        return texts if kind == "text" else amounts_of(texts)
    known = np.array([text is not None and not is_gap(text, MOST) for text in texts], bool)
    found = typed(texts[known])
    if found.dtype == object or known.all():
        return texts if found.dtype == object else found
    whole = np.full(len(texts), np.nan)
    whole[known] = found
    return whole


def _targets(chunk: Chunk, file: DataFile, wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
    if wanted.target:
        targets, unknown = targets_of(chunk, wanted.target, str(file.path))
        if _is_text(file.path):
            unknown |= np.array([is_gap(text, MOST) for text in targets], bool)
        return targets, unknown
    return np.full(chunk.rows, file.label, object), np.zeros(chunk.rows, bool)


def _nothing(files: Sequence[DataFile], wanted: Wanted, counts: Counts) -> SetupError:
    """Return the error for no usable row, with the reason that took most of them."""
    if not counts.read:
        return SetupError("no rows in it", field=", ".join(str(file.path) for file in files[:3]))
    region = f"--signal-region {wanted.region.text!r}" if wanted.region else ""
    reasons = {
        f"{counts.outside_region:,} are outside of {region}": counts.outside_region,
        f"{counts.with_missing:,} lack a value; --missing median keeps them": counts.with_missing,
        f"{counts.without_target:,} have no {wanted.target}": counts.without_target,
        f"{counts.not_finite:,} have an infinite value": counts.not_finite,
        f"{counts.unreadable:,} cannot be read": counts.unreadable,
    }
    told = max(reasons, key=lambda reason: reasons[reason])
    return SetupError(f"none of {counts.read:,} rows can be used: {told}", field="DATA")
