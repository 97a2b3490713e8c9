"""``gpfn score --spark``: its options, and which of Spark's two ways a run takes.

Files of Parquet that become Parquet go through Spark as one table; all others are a task each.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.cli.score_screen import ScoreScreen
    from gpfn.data.running import ScoreRun
    from gpfn.data.scorer import ModelOrder
    from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
    from gpfn.data.spark.frames import FrameRun
    from gpfn.data.spark.session import SparkMaster

__all__ = ["ScoreWork", "add_spark", "spark_work"]


class ScoreWork(NamedTuple):
    """What a run scores, and what gives its reports once the screen is there."""

    jobs: "Sequence[ScoreJob]"
    reports: "Callable[[ScoreScreen], Iterator[FileReport]]"


def add_spark(parser: argparse.ArgumentParser) -> None:
    """Declare where Spark is, and how it is set."""
    parser.add_argument("--spark", default="", metavar="MASTER", help="score in tasks of Apache "
                        "Spark: local[N], local[*], spark://HOST:PORT, k8s://… or yarn; Parquet "
                        "becomes a folder of part files")  # fmt: skip
    parser.add_argument("--spark-conf", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of Spark, as in spark-defaults.conf; once for "
                        "each")  # fmt: skip


def spark_work(args: argparse.Namespace, order: "ModelOrder", options: "ScoreOptions") -> ScoreWork:
    """Return what is scored through Spark.

    Raises SetupError for options that do not go together and for files that are not there.
    """
    from gpfn.data.spark.session import SparkMaster

    if args.jobs:
        told = f"the master says how many tasks there are at once: --spark local[{args.jobs}]"
        raise SetupError(told, field="--jobs")
    master = SparkMaster(args.spark, dict(map(_setting, args.spark_conf)))
    if _is_table(args):
        return _of_table(args, order, options, master)
    return _of_files(args, order, options, master)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("spark."):
        raise SetupError(f"expected spark.NAME=VALUE, got {text!r:.60}", field="--spark-conf")
    return name, value


def _is_table(args: argparse.Namespace) -> bool:
    """Tell whether all that is read and written is Parquet."""
    from gpfn.data.formats import find_format

    def is_parquet(source: str) -> bool:
        if args.format:
            return bool(args.format == "parquet")
        return "://" in source or find_format(source).name == "parquet"

    if args.to not in ("", "parquet"):
        return False
    if Path(args.output).suffix and not args.to and not _is_parquet_name(args.output):
        return False
    return all(map(is_parquet, _sources(args)))


def _is_parquet_name(path: str) -> bool:
    from gpfn.data.formats import FORMATS

    suffix = Path(path).suffix.lower()
    return not any(suffix in row.suffixes for row in FORMATS if row.name != "parquet")


def _sources(args: argparse.Namespace) -> list[str]:
    from gpfn.data.targets import source_files

    remote = [source for source in args.data if "://" in source]
    here = [source for source in args.data if "://" not in source]
    return [*remote, *(source_files(here, args.format) if here else ())]


def _of_table(
    args: argparse.Namespace, order: "ModelOrder", options: "ScoreOptions", master: "SparkMaster"
) -> ScoreWork:
    from gpfn.data.spark.frames import FrameRun, frame_job

    run = FrameRun(_sources(args), args.output, order, options, args.again)
    return ScoreWork([frame_job(run)], lambda screen: _table_reports(run, master, screen))


def _table_reports(
    run: "FrameRun", master: "SparkMaster", screen: "ScoreScreen"
) -> "Iterator[FileReport]":
    from gpfn.data.spark.frames import check_frame, score_frame
    from gpfn.data.spark.session import spark_session

    check_frame(run)
    with spark_session(master) as session:
        yield score_frame(run, session, screen.follow, screen.note)


def _of_files(
    args: argparse.Namespace, order: "ModelOrder", options: "ScoreOptions", master: "SparkMaster"
) -> ScoreWork:
    from gpfn.data.running import ScoreRun, score_files
    from gpfn.data.targets import score_jobs

    far = next((source for source in args.data if "://" in source), None)
    if far is not None:
        told = "only Parquet is read from a URL, and all of a run has to be Parquet then"
        raise SetupError(told, field=far)
    jobs = score_jobs(args.data, args.output, reads=args.format, writes=args.to)
    run = ScoreRun(jobs, order, options, len(jobs), args.again)

    def reports(screen: "ScoreScreen") -> "Iterator[FileReport]":
        def through(left: "ScoreRun", _followed: object) -> "Iterator[FileReport]":
            from gpfn.data.spark.files import score_in_tasks
            from gpfn.data.spark.session import spark_session

            with spark_session(master) as session:
                yield from score_in_tasks(left, session, screen.note)

        return score_files(run, screen.follow, through)

    return ScoreWork(jobs, reports)
