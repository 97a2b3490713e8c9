"""``gpfn score``: a model over files of data, in chunks, with an output file for each."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpfn.cli.ending import raise_at
from gpfn.cli.options import add_signature, parse_threads, whole
from gpfn.cli.score_spark import add_spark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpfn.cli.score_spark import ScoreWork
    from gpfn.data.running import ScoreRun
    from gpfn.data.scorer import ModelOrder
    from gpfn.data.scoring import FileReport, ScoreJob, ScoreOptions
    from gpfn.models.branches import BranchMapping

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "compute a model's outputs for files of data: Parquet, CSV, ROOT, .npy, JSON lines"
EXAMPLES = """
gpfn score iris.onnx rows.csv -o scores.csv
gpfn score models/forecast.tflite windows.npy -o forecast.npy
gpfn score model.tflite day-*.parquet -o scores/ --features pt,eta,phi --jobs 4
gpfn score higgs.tflite events.root -o friend.root --mapping branches.toml
gpfn score model.onnx data/ -o scores/ --to parquet --keep id --max-failed 1%
gpfn score http://127.0.0.1:9000/digits events.jsonl -o answers.jsonl --json
gpfn score model.onnx day-*.parquet -o scores/ --keep id --spark spark://10.0.0.7:7077
"""

_NO_SEPARATORS = '"\r\n0123456789+-.'  # the latter are in numbers, which have no quotes
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the model, the files and how they are read, computed and written."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file, a folder, a name, a URL, or URL/NAME[@TAG] of a "
        "model server; as gpfn predict takes it")  # fmt: skip
    add("data", metavar="DATA", nargs="+", help="files of data, or folders of them")
    add("-o", "--output", metavar="OUT", required=True, help="a file for one file of data, or a "
        "folder with a file for each")  # fmt: skip
    add("--features", default="", metavar="NAMES", help="columns in the order of the model's "
        "input, with commas (default: as model.toml or the inputs have them)")  # fmt: skip
    add("--keep", default="", metavar="NAMES", help="columns that the output has as well")
    add("--outputs", default="", metavar="NAMES", help="the model's outputs (default: all)")
    add("--format", default="", metavar="NAME", help="what the files are: parquet, csv, npy, "
        "jsonl, root (default: by their suffixes)")  # fmt: skip
    add("--to", default="", metavar="NAME", help="what is written (default: by the output's "
        "suffix, or as the file that is read)")  # fmt: skip
    add("--separator", type=_separator, default=None, metavar="CHARACTER", help="between the cells "
        "of CSV, or comma, semicolon, tab, pipe (default: as the first line has it)")  # fmt: skip
    add("--mapping", default="", metavar="FILE", help="how branches of ROOT files become the "
        "model's input, in TOML (default: as model.toml has it)")  # fmt: skip
    add("--tree", default="", metavar="NAME", help="the tree of ROOT files (default: as the "
        "mapping has it, or the only one)")  # fmt: skip
    add("--chunk", type=whole(1), default=0, metavar="ROWS", help="rows that are in memory at once "
        "(default: by the model's size)")  # fmt: skip
    add("--jobs", type=whole(1, 1024), default=0, metavar="N", help="files at once, each in a "
        "process (default: as many as there are processors)")  # fmt: skip
    add("--max-failed", type=_max_failed, default=None, metavar="N|N%", help="rows of a file that "
        "may fail, or their share; more fail the file (default: any number)")  # fmt: skip
    add("--again", action="store_true", help="score files that are done once more")
    add_spark(parser)
    add_signature(parser)
    token = "a token of the model server (default: $GPFN_TOKEN)"  # noqa: S105 - help, no token
    add("--token", default="", help=token)
    add("--threads", default="auto", help="of the model in each process; auto (the default) is "
        "the processors by the jobs")  # fmt: skip
    add("--json", action="store_true", help="what became of the files, as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Score, show how far it is, and tell what became of each file."""
    from gpfn.cli.score_screen import ScoreScreen

    work = _work(args)
    reports: list[FileReport] = []
    with _ended_by_signals(), ScoreScreen(work.jobs, quiet=args.json) as screen:
        for report in work.reports(screen):
            reports.append(report)
            screen.done(report)
    screen.summary(reports)
    if args.json:
        import json

        print(json.dumps([_document(report) for report in reports], indent=2))
    return 1 if any(report.error for report in reports) else 0


def _work(args: argparse.Namespace) -> "ScoreWork":
    from gpfn.cli.score_spark import ScoreWork, spark_work
    from gpfn.data.formats import format_named
    from gpfn.data.running import score_files
    from gpfn.models.threads import available_cpus

    for name in filter(None, (args.format, args.to)):
        format_named(name)
    if args.spark:  # a task has one processor, unless --threads says another number
        return spark_work(args, _order(args, available_cpus()), _options(args))
    run = _run(args)
    return ScoreWork(run.jobs, lambda screen: score_files(run, screen.follow))


def _run(args: argparse.Namespace) -> "ScoreRun":
    from gpfn.data.running import ScoreRun
    from gpfn.data.targets import score_jobs
    from gpfn.models.threads import available_cpus

    jobs = score_jobs(args.data, args.output, reads=args.format, writes=args.to)
    _check_root(args, jobs)
    count = min(args.jobs or available_cpus(), len(jobs))
    return ScoreRun(jobs, _order(args, count), _options(args), count, args.again)


def _order(args: argparse.Namespace, count: int) -> "ModelOrder":
    from gpfn.cli.described import description_of
    from gpfn.cli.resolve import model_uri
    from gpfn.data.scorer import ModelOrder
    from gpfn.models.labels import described_classes
    from gpfn.models.open import split_uri, with_signature
    from gpfn.models.threads import available_cpus
    from gpfn.secrets import read_setting

    token = args.token or read_setting("GPFN_TOKEN")
    known = None if "://" in args.model else description_of(split_uri(args.model)[0])
    said = parse_threads(args.threads)
    return ModelOrder(
        uri=with_signature(model_uri(args.model, token), args.signature),
        token=token,
        threads=max(1, available_cpus() // count) if said == "auto" else said,
        outputs=_names(args.outputs),
        features=_names(args.features),
        columns=known.columns if known else (),
        keep=_names(args.keep),
        largest=known.serving.max_batch if known else None,
        classes=described_classes(known) if known else (),
    )


def _options(args: argparse.Namespace) -> "ScoreOptions":
    from gpfn.data.scoring import MaxFailed, ScoreOptions

    return ScoreOptions(
        chunk=args.chunk,
        reads=args.format,
        writes=args.to,
        separator=args.separator or "",
        max_failed=MaxFailed(*(args.max_failed or ())),
        mapping=_mapping(args),
        tree=args.tree,
    )


def _mapping(args: argparse.Namespace) -> "BranchMapping | None":
    """Return what a ROOT file's branches become, as the user or the model's description says."""
    from pathlib import Path

    from gpfn.cli.described import description_of
    from gpfn.errors import SetupError
    from gpfn.models.description import read_branches
    from gpfn.models.open import split_uri

    if args.mapping and args.features:
        told = "says what the input is made of, and so does --features; give one of them"
        raise SetupError(told, field="--mapping")
    if args.mapping:
        return read_branches(Path(args.mapping))
    known = None if "://" in args.model else description_of(split_uri(args.model)[0])
    return known.branches if known else None


def _check_root(args: argparse.Namespace, jobs: "Sequence[ScoreJob]") -> None:
    """Raise SetupError where something is said of ROOT files, and there is none."""
    from gpfn.data.formats import find_format, format_named
    from gpfn.errors import SetupError

    option = "--mapping" if args.mapping else "--tree" if args.tree else ""
    rows = [format_named(args.format) if args.format else find_format(job.source) for job in jobs]
    if option and not any("mapping" in row.options for row in rows):
        raise SetupError("is for ROOT files, and none is among the data", field=option)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _separator(text: str) -> str:
    found = _SEPARATORS.get(text, text)
    if len(found) != 1 or not found.isascii() or found in _NO_SEPARATORS:
        raise argparse.ArgumentTypeError(
            f"expected one ASCII character, none of numbers or quotes, got {text!r:.20}"
        )
    return found


def _max_failed(text: str) -> tuple[int | None, float | None]:
    number = text.removesuffix("%")
    try:
        if number == text:
            return whole()(text), None
        share = float(number) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number of rows or 0% to 100%, got {text!r}")
    return None, share


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have a polite end remove what is half-written, as Ctrl-C does."""
    import signal

    before = raise_at(signal.SIGTERM, signal.SIGHUP)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _document(report: "FileReport") -> dict[str, Any]:
    rate = report.rows / report.seconds if report.seconds else None
    document: dict[str, Any] = {
        "file": report.job.source,
        "output": None if report.error else report.job.target,
        "rows": report.rows,
        "failed": report.failed,
        "failed_rows": report.job.failed if os.path.exists(report.job.failed) else None,
        "seconds": round(report.seconds, 3),
        "rows_per_second": None if rate is None else round(rate),
        "skipped": report.skipped,
    }
    return document | {"error": report.error or None}
