"""``gpfn classy``: pictures and their addresses in, names of classes out, a line each."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gpfn.cli.options import seconds, whole
from gpfn.errors import CannotConnect, SetupError, escaped

if TYPE_CHECKING:
    from gpfn.classy.asked import Ask
    from gpfn.classy.client import ImageResult
    from gpfn.cli.timings import TimingTree

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "name what is on pictures, by a pipeline of servers or in this process"
EXAMPLES = """
gpfn classy burger.jpg https://example.com/dog.jpg
gpfn classy photos/*.jpg --topk 3
gpfn classy burger.jpg --pipeline pipelines/classy.pipeline.toml --json
gpfn classy photos/*.jpg --at http://127.0.0.1:7001 --next http://127.0.0.1:7002 --timings
"""

_START = "gpfn pipeline up pipelines/classy.pipeline.toml"
_LABELS = "imagenet_labels.txt"
_BAR = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the pictures, who is asked, and what is printed."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE|URL", help="a file, or an address that the pipeline "
        "downloads; both may be in one call")  # fmt: skip
    add("--at", default="http://127.0.0.1:7001", metavar="URL", help="the first stage's server "
        "(default: %(default)s)")  # fmt: skip
    add("--next", default="http://127.0.0.1:7002", metavar="URL", help="where that goes on to, "
        "empty when it knows itself (default: %(default)s)")  # fmt: skip
    add("--pipeline", default="", metavar="FILE", help="run the pipeline of this file in this "
        "process instead: no servers are needed")  # fmt: skip
    add("--labels", type=Path, metavar="FILE", help="names of the classes, one a line (default: "
        "ImageNet's, fetched once)")  # fmt: skip
    add("--topk", type=whole(1, 1000), default=1, metavar="N", help="how many classes, with "
        "probabilities (default: %(default)s)")  # fmt: skip
    add("--batch", type=whole(1, 1000), default=16, metavar="N", help="pictures a call (default: "
        "%(default)s)")  # fmt: skip
    add("--jobs", type=whole(1, 64), default=4, metavar="N", help="calls at a time (default: "
        "%(default)s)")  # fmt: skip
    add("--timeout", type=seconds, default=60.0, metavar="SECONDS", help="for a call (default: "
        "%(default)g)")  # fmt: skip
    add("--timings", action="store_true", help="what stages and hops took, on stderr")
    add("--json", action="store_true", help="print one JSON document instead of text")


def run(args: argparse.Namespace) -> int:
    """Classify all of them; 1 when one of them failed."""
    from gpfn.classy.client import ClassyClient
    from gpfn.cli.timings import TimingTree

    labels, tree = _labels(args.labels), TimingTree()
    ask, close = _asked(args)
    client = ClassyClient(
        ask,
        labels,
        topk=args.topk,
        batch=args.batch,
        jobs=args.jobs,
        seconds=args.timeout,
        timed=tree.add if args.timings else None,
    )
    try:
        failed = _print(args, client.classify(args.images), tree if args.timings else None)
    except CannotConnect as error:
        hint = "" if args.pipeline else f"; start it with: {_START}"
        raise CannotConnect(f"{error.detail}{hint}", field=error.field) from None
    except SetupError as error:
        named = "--labels" if error.field == "labels" else error.field
        raise SetupError(error.detail, field=named) from None
    finally:
        close()
        if args.timings and not args.json:
            _print_times(tree)
    return 1 if failed else 0


def _asked(args: argparse.Namespace) -> "tuple[Ask, Callable[[], None]]":
    from gpfn.classy.asked import asked_model, asked_server

    if not args.pipeline:
        return asked_server(args.at, args.next)
    from gpfn.models import open_model

    _fetch(args.pipeline)
    return asked_model(open_model(args.pipeline))


def _fetch(file: str) -> None:
    """Fetch the models of the catalogue that a pipeline's file names."""
    from gpfn.cli.progress import DownloadProgress
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.pipeline import read_pipeline
    from gpfn.models.pipeline.opened import CATALOGUE
    from gpfn.models.store import obtain_model

    for stage in read_pipeline(file).stages:
        target = str(stage.target)
        if target.startswith(CATALOGUE):
            entry = default_catalogue().get(target.removeprefix(CATALOGUE))
            obtain_model(entry, progress=DownloadProgress())


def _labels(path: Path | None) -> Sequence[str]:
    from gpfn.models.labels import read_labels

    if path is not None:
        return read_labels(path)
    from gpfn.cli.progress import DownloadProgress
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.store import obtain

    files = [entry.labels for entry in default_catalogue() if entry.labels]
    known = next((file for file in files if file.name == _LABELS), None)
    if known is None:
        raise SetupError(f"the catalogue has no {_LABELS}; name a file", field="--labels")
    return read_labels(obtain(known, progress=DownloadProgress()))


def _print(
    args: argparse.Namespace, results: "Iterator[ImageResult]", tree: "TimingTree | None"
) -> bool:
    """Print results as they come; say whether a picture failed."""
    failed, count = False, len(args.images)
    barred = count > args.batch and not (args.json and sys.stdout.isatty())
    with _progress(barred=barred) as (progress, stdout):
        out = _Json(stdout, tree) if args.json else _Text(stdout, args.topk)
        try:
            for result in results:
                failed = failed or bool(result.problem)
                out.tell(result)
                progress(result.position + 1, count)
        finally:
            out.end()
    return failed


def _print_times(tree: "TimingTree") -> None:
    from gpfn.cli.table import print_table

    header = ("STEP", "CALLS", "MEAN ms", "LONGEST ms")
    print_table(tree.rows(), header, right=(1, 2, 3), stream=sys.stderr)


@contextmanager
def _progress(*, barred: bool) -> "Iterator[tuple[Callable[[int, int], None], TextIO]]":
    """Give what is told how far it is, and where results go.

    On a terminal a bar takes what is printed along, which then stands above it; what goes to a
    file or a pipe passes it by.
    """
    stdout = sys.stdout
    if not barred:
        yield lambda _done, _all: None, stdout
        return
    from gpfn.cli.table import show_progress

    with show_progress("images") as progress:
        yield progress, sys.stdout if stdout.isatty() else stdout


class _Text:
    """Prints a line for each picture, and several classes under it."""

    def __init__(self, stdout: TextIO, topk: int) -> None:
        self._stdout = stdout
        self._topk = topk

    def tell(self, result: "ImageResult") -> None:
        shown = f"image {result.position}"
        if result.problem or not result.classes:
            told = escaped(f"{shown} ({result.source}): {result.problem or 'has no class'}")
            print(told, file=sys.stderr, flush=True)
            return
        best = result.classes[0]
        lines = [f"{shown} is class {best.number}: {best.name}"]
        if self._topk > 1:
            from gpfn.cli.table import table_text

            rows = [
                (f"{each.number}", each.name, f"{each.probability:.4f}", _bar(each.probability))
                for each in result.classes
            ]
            lines += [f"  {line}" for line in table_text(rows, right=(0, 2)).splitlines()]
        for line in lines:
            print(escaped(line), file=self._stdout)
        self._stdout.flush()

    def end(self) -> None:
        """Print nothing more."""


def _bar(probability: float) -> str:
    return "█" * round(_BAR * min(1.0, max(0.0, probability)))


class _Json:
    """Prints one document, picture by picture; it is whole whenever it ends."""

    def __init__(self, stdout: TextIO, tree: "TimingTree | None") -> None:
        self._stdout = stdout
        self._tree = tree
        self._before = '{"images": [\n'

    def tell(self, result: "ImageResult") -> None:
        source = result.source.encode("utf-8", "backslashreplace").decode()
        document: dict[str, Any] = {"index": result.position, "source": source}
        if result.problem:
            document["problem"] = result.problem
        else:
            document["results"] = [
                {"class": each.number, "name": each.name, "probability": each.probability}
                for each in result.classes
            ]
        print(f"{self._before}{_line(document)}", end="", file=self._stdout, flush=True)
        self._before = ",\n"

    def end(self) -> None:
        """Print what closes the document."""
        begun = self._before if "{" in self._before else "\n"
        timings = "" if self._tree is None else f', "timings": {_line(_times(self._tree))}'
        print(f"{begun}]{timings}}}", file=self._stdout)


def _times(tree: "TimingTree") -> list[dict[str, Any]]:
    return [
        {
            "name": part.name,
            "calls": part.calls,
            "mean_ms": round(part.mean * 1000, 3),
            "longest_ms": round(part.longest * 1000, 3),
        }
        for part in tree.parts
    ]


def _line(document: object) -> str:
    from gpfn import json_exact

    return json_exact.dumps(document).decode()
