"""Parquet scored by Spark: read by it, cut by it into tasks, and written as a folder of parts.

The outputs lie in a folder as Spark writes one: a file a task, and ``_SUCCESS`` at the end. A
row that failed has null in the outputs, and the reason in the column ``gpfn_failed``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from gpfn.data.batches import FAILED, opened_scorer, score_batches, score_schema
from gpfn.data.feeding import Feeder
from gpfn.data.formats import open_source
from gpfn.data.processes import Followed
from gpfn.data.scorer import ModelOrder, Scorer
from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
from gpfn.data.seam import Extent
from gpfn.data.spark.carried import CarriedModel, carried_model
from gpfn.data.spark.part_folder import PartFolder, is_remote
from gpfn.data.spark.session import RunningSpark
from gpfn.data.spark.types import ddl_name, spark_type
from gpfn.data.spark.waiting import run_watched
from gpfn.data.wanted import check_wanted
from gpfn.errors import SetupError

__all__ = ["FrameRun", "PartitionScorer", "check_frame", "frame_job", "score_frame"]

_SAMPLE = 256
"""Rows that are scored here first: they tell what outputs are, and what is wrong with all."""
_GLOB = re.compile(r"([\\*?\[\]{}])")


class FrameRun(NamedTuple):
    """Parquet files that become one folder of scores. ``again`` replaces one that is there."""

    sources: Sequence[str]
    target: str
    order: ModelOrder
    options: ScoreOptions = ScoreOptions()
    again: bool = False


def score_frame(
    run: FrameRun,
    session: RunningSpark,
    followed: Followed | None = None,
    noted: Callable[[str], None] | None = None,
) -> FileReport:
    """Score all files; returns one report of them.

    Raises SetupError for a file, a column or a model that is not there, when more rows failed
    than may, and what PySpark raises; then there is no output.
    """
    began = time.perf_counter()
    job = frame_job(run)
    folder = PartFolder(run.target, again=run.again)
    scorer = Scorer(run.order)
    try:
        plan = _plan(run, session, scorer)
    finally:
        scorer.close()
    with folder:
        rows, failed = _written(plan, folder, session, (job, followed, noted))
        folder.check(rows)
        run.options.max_failed.check(failed, rows, rows)
    notes = list(plan.notes)
    if failed:
        notes.append(f"the column {FAILED} of {run.target} says why a row failed")
    seconds = time.perf_counter() - began
    return FileReport(job, rows, failed, seconds, notes=tuple(notes))


def _shown(sources: Sequence[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{len(sources)} files"


def frame_job(run: FrameRun) -> ScoreJob:
    """Return how reports call a run: one job, whose failed rows are in its output."""
    return ScoreJob(_shown(run.sources), run.target, run.target)


def check_frame(run: FrameRun) -> None:
    """Raise SetupError for what is wrong before Spark is begun, which takes its time.

    That is an output that is there, a file that cannot be read, and one without a column that
    others have: Spark would take the first file's columns for those of all, and null for it.
    """
    PartFolder(run.target, again=run.again)
    first: tuple[str, ...] = ()
    target = os.path.realpath(run.target)
    for source in run.sources:
        if not is_remote(source) and os.path.realpath(source).startswith(f"{target}{os.sep}"):
            raise SetupError(f"would be written over by the scores of {source}", field=run.target)
        if is_remote(source) or os.path.isdir(source):
            continue
        opened = open_source(source, "parquet")
        names, why = opened.names, opened.unreadable
        opened.close()
        first = first or names
        wanted = run.order.features or first
        check_wanted([*dict.fromkeys((*wanted, *run.order.keep))], names, source, why)


class _Plan(NamedTuple):
    """The frame that Spark computes, and what a user should know of it."""

    frame: Any
    counts: Any
    seen: Any
    notes: tuple[str, ...]


def _plan(run: FrameRun, session: RunningSpark, scorer: Scorer) -> _Plan:
    """Return what Spark is to do; a sample of rows is scored here."""
    from pyspark.sql import Observation, functions

    rows = run.options.chunk or scorer.chunk_rows
    session.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(rows))
    place, keep = _shown(run.sources), run.order.keep
    whole = session.spark.read.parquet(*map(_place, run.sources))
    feeder = scorer.feeder(whole.columns, place)
    frame = whole.select(*map(_quoted, dict.fromkeys((*feeder.wanted, *keep))))
    schema = _schema(frame, scorer, place)
    seen = session.spark.sparkContext.accumulator(0)
    work = PartitionScorer(carried_model(run.order, session), schema, place, seen)
    counts = Observation("gpfn")
    scored = frame.mapInArrow(work, _ddl(schema, frame, keep)).observe(
        counts,
        functions.count(functions.lit(1)).alias("rows"),
        functions.count(FAILED).alias("failed"),
    )
    return _Plan(scored, counts, seen, _notes(scorer, feeder))


def _schema(frame: Any, scorer: Scorer, place: str) -> pa.Schema:
    """Return the columns of the output, in types that Spark has."""
    sample: pa.Table = frame.limit(_SAMPLE).toArrow()
    batches = sample.combine_chunks().to_batches()
    found = score_schema(scorer, sample.schema, batches, place)
    kept = {*scorer.order.keep}
    fields = [f if f.name in kept else f.with_type(spark_type(f.type)) for f in found]
    return pa.schema(fields)


class PartitionScorer(NamedTuple):
    """What a task does: batches in, batches of scores out; can be pickled.

    ``seen`` is Spark's accumulator, of rows that are done.
    """

    model: CarriedModel
    schema: pa.Schema
    place: str
    seen: Any

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give the scores of each batch. Raises GpfnError when it is not its rows' fault."""
        scorer = opened_scorer(self.model.here())
        for scored in score_batches(batches, scorer, self.schema, self.place):
            yield scored
            self.seen.add(scored.num_rows)


def _place(source: str) -> str:
    """Return a path as Spark takes it: with the scheme of this machine, and no pattern in it."""
    if is_remote(source):
        return source
    return "file://" + _GLOB.sub(r"\\\1", os.path.abspath(source))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _ddl(schema: pa.Schema, frame: Any, keep: Sequence[str]) -> str:
    """Return a schema in Spark's words: of what is kept, the types that it has in the frame."""
    kept = {name: frame.schema[name].dataType.simpleString() for name in keep}
    parts = [f"{_quoted(f.name)} {kept.get(f.name) or ddl_name(f.type, f.name)}" for f in schema]
    return ", ".join(parts)


def _notes(scorer: Scorer, feeder: Feeder) -> tuple[str, ...]:
    notes = [feeder.assumed] if feeder.assumed else []
    if scorer.obstacle:
        notes.append(f"rows are asked one by one: {scorer.obstacle}")
    return tuple(notes)


_Watch = tuple[ScoreJob, Followed | None, Callable[[str], None] | None]


def _written(
    plan: _Plan, folder: PartFolder, session: RunningSpark, watch: _Watch
) -> tuple[int, int]:
    """Have Spark write the frame; returns how many rows there are and how many failed."""
    job, followed, noted = watch

    def work() -> tuple[int, int]:
        plan.frame.write.mode(folder.mode).option("compression", "zstd").parquet(folder.place)
        counts = plan.counts.get
        return counts["rows"], counts["failed"]

    running = None
    for running in run_watched(session, work, noted):
        if followed is not None:
            tasks = running.tasks
            followed(job, plan.seen.value, Extent(tasks.done, tasks.total))
    assert running is not None  # noqa: S101 - it gives its end at least
    rows, failed = running.result
    return rows, failed
