"""One file scored: read in chunks, computed, and written whole or not at all.

The same function is used in one process, in several, and wherever else files are handed out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from gpfn.data.computing import Hopeless
from gpfn.data.failed_rows import FailedRows
from gpfn.data.feeding import Feeder
from gpfn.data.formats import FileFormat, find_format, format_named, open_sink, open_source
from gpfn.data.scorer import Scored, Scorer
from gpfn.data.seam import Chunk, ColumnSink, ColumnSource, Extent
from gpfn.errors import SetupError
from gpfn.models.branches import BranchMapping
from gpfn.models.labels import ClassNames

__all__ = ["FileReport", "MaxFailed", "ScoreJob", "ScoreOptions", "Told", "score_file"]

Told = Callable[[int, Extent], None]
"""Is called with the rows that are done and how far the file is read, after every chunk."""

_OPTIONS = ("separator", "mapping", "tree")
"""What of the options a format may take when it is opened."""


class MaxFailed(NamedTuple):
    """How many rows of a file may fail: at most ``rows``, at most that ``share`` of them."""

    rows: int | None = None
    share: float | None = None

    def check(self, failed: int, rows: int, whole: int | None) -> None:
        """Raise SetupError when more have failed of ``rows`` than may of all.

        ``whole`` is how many the file has, None where that is not known yet: then the share
        is not, whatever it is among the rows so far.
        """
        told = f"{failed} of {rows} rows failed"
        if self.rows is not None and failed > self.rows:
            raise SetupError(f"{told}; --max-failed allows {self.rows}")
        if self.share is not None and whole and failed / whole > self.share:
            raise SetupError(f"{told}; --max-failed allows {self.share:.4%}")


class ScoreOptions(NamedTuple):
    """How files are scored; can be pickled.

    ``chunk`` is the rows of a chunk, 0 as the model's size suggests. ``reads`` and ``writes``
    are names of formats, empty where suffixes tell. ``separator`` is that of CSV, ``mapping``
    and ``tree`` say what is read of ROOT.
    """

    chunk: int = 0
    reads: str = ""
    writes: str = ""
    separator: str = ""
    max_failed: MaxFailed = MaxFailed()
    mapping: BranchMapping | None = None
    tree: str = ""


class ScoreJob(NamedTuple):
    """A file to score, where its scores go, and where its failed rows do."""

    source: str
    target: str
    failed: str


class FileReport(NamedTuple):
    """What became of a file: the rows in it, those of them that failed; or an ``error``.

    ``notes`` are lines for who reads along. ``skipped`` says that it was done before.
    """

    job: ScoreJob
    rows: int = 0
    failed: int = 0
    seconds: float = 0.0
    error: str = ""
    skipped: bool = False
    notes: tuple[str, ...] = ()


class _Means(NamedTuple):
    """What all files of a run are scored with."""

    scorer: Scorer
    options: ScoreOptions
    told: Told | None


def score_file(
    job: ScoreJob, scorer: Scorer, options: ScoreOptions, told: Told | None = None
) -> FileReport:
    """Score a file; its output has a row for each of its own, in the same order.

    Rows that fail are missing in it, and are in ``job.failed`` with their reason. Raises
    GpfnError when the file cannot be read, written or scored; then there is no output, and
    the failed rows so far are told.
    """
    began = time.perf_counter()
    source, feeder = _opened(job, scorer, options)
    with closing(source), FailedRows(job) as failed:
        with _sink(job, options, scorer.classes) as sink:
            rows = _score(source, sink, failed, feeder, _Means(scorer, options, told))
            options.max_failed.check(failed.count, rows, rows)
        seconds = time.perf_counter() - began
        return FileReport(job, rows, failed.count, seconds, notes=_notes(scorer, feeder))


def _opened(job: ScoreJob, scorer: Scorer, options: ScoreOptions) -> tuple[ColumnSource, Feeder]:
    """Open the file and find its columns; a format without types is told which ones to read."""
    row = format_named(options.reads) if options.reads else find_format(job.source)
    said = {name: getattr(options, name) for name in _OPTIONS if getattr(options, name)}
    given: dict[str, Any] = {name: each for name, each in said.items() if name in row.options}
    if "columns" in row.options:
        given["columns"] = (*scorer.order.features, *scorer.order.keep)
    if "kept" in row.options and _target_format(job, options).texts:
        given["kept"] = scorer.order.keep
    source = open_source(job.source, row.name, **given)
    try:
        mapping = given.get("mapping")
        feeder = scorer.feeder(source.names, job.source, mapping, source.unreadable)
    except BaseException:
        source.close()
        raise
    if "types" in row.options:
        source.close()
        kept = dict.fromkeys(scorer.order.keep, "string")
        given["types"] = {**feeder.types, **kept}
        source = open_source(job.source, row.name, **given)
    return source, feeder


def _target_format(job: ScoreJob, options: ScoreOptions) -> FileFormat:
    return format_named(options.writes) if options.writes else find_format(job.target)


def _sink(job: ScoreJob, options: ScoreOptions, classes: ClassNames) -> ColumnSink:
    row = _target_format(job, options)
    said = {"separator": options.separator, "classes": classes}
    given = {name: each for name, each in said.items() if each and name in row.sink_options}
    return open_sink(job.target, row.name, **given)


def _score(
    source: ColumnSource,
    sink: ColumnSink,
    failed: FailedRows,
    feeder: Feeder,
    means: _Means,
) -> int:
    """Score all chunks, and return how many rows there were."""
    scorer, options, told = means
    rows = 0
    wanted = tuple(dict.fromkeys((*feeder.wanted, *scorer.order.keep)))
    held: list[tuple[Chunk, dict[int, str]]] = []
    for chunk in source.chunks(wanted, options.chunk or scorer.chunk_rows):
        try:
            scored = scorer.score(chunk, feeder)
        except Hopeless as error:
            failed.add(chunk, error.faults)
            raise
        failed.add(chunk, scored.faults)
        rows += chunk.rows
        options.max_failed.check(failed.count, rows, source.rows)
        if not scorer.has_answered:  # what outputs are is not known yet
            held.append((chunk, scored.faults))
            continue
        for each in _released(held, scorer):
            sink.write(each.columns, each.missing)
        sink.write(scored.columns, scored.missing)
        if told is not None:
            told(rows, source.extent)
    if held:
        faults = held[0][1]
        why = f"no row of {rows} could be scored; the first one: {faults[min(faults)]}"
        raise SetupError(f"{why}; {failed.hint}", field=failed.source)
    if not rows:
        sink.write(source.empty(scorer.order.keep) | scorer.empty())
    return rows


def _released(held: list[tuple[Chunk, dict[int, str]]], scorer: Scorer) -> Iterator[Scored]:
    while held:
        yield scorer.blank(*held.pop(0))


def _notes(scorer: Scorer, feeder: Feeder) -> tuple[str, ...]:
    notes = [feeder.assumed] if feeder.assumed else []
    if scorer.obstacle:
        notes.append(f"rows are asked one by one: {scorer.obstacle}")
    return tuple(notes)
