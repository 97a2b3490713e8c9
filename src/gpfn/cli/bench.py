"""``gpfn bench``: how many requests a second a model server answers, how fast, what limits."""

import argparse
import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.cli.options import seconds, whole
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.bench.asking import AskedModel
    from gpfn.bench.generator import Load, LoadPlan
    from gpfn.bench.subject import Processes
    from gpfn.bench.summary import Run
    from gpfn.http.address import Address

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "put a model server under load: throughput, times, processor time, what limits"
EXAMPLES = """
gpfn bench models/forecast.tflite
gpfn bench digits --protocol v2 --connections 8,64 --plot digits.png
gpfn bench models/forecast.tflite --connections 64 --serve "--workers 2"
gpfn bench http://127.0.0.1:8000/v2/models/dnn --protocol v2-json --seconds 10 --json
"""

_PROTOCOLS = ("graphpipe", "v2", "v2-json", "v1", "grpc")
_MOST_CONNECTIONS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is asked, and how hard."""
    flag = parser.add_argument
    flag("model", metavar="MODEL|URL", help="a file, a folder or a name, which gpfn serve serves "
         "for the time; or the address of a server or of its model")  # fmt: skip
    flag("--protocol", choices=_PROTOCOLS, help="what is spoken (default: what the address shows, "
         "otherwise graphpipe)")  # fmt: skip
    flag("--connections", type=_counts, default=_counts("1,8,64,200"), metavar="N,N,…",
         help="a load each (default: 1,8,64,200)")  # fmt: skip
    flag("--seconds", type=seconds, default=3.0, help="of each load (default: 3)")
    flag("--input", action="append", default=[], metavar="[NAME=]FILE", help="a .npy or .json "
         "file; zeros otherwise, one row where the model leaves it open")  # fmt: skip
    flag("--check", action="store_true", help="every answer has to equal the first, to the last "
         "bit")  # fmt: skip
    flag("--serve", default="", metavar="OPTIONS", help="more for gpfn serve, in one word")
    flag("--plot", metavar="FILE", help="draw throughput and times into a .png or .svg")
    flag("--json", action="store_true", help="print everything as JSON")


def _counts(text: str) -> list[int]:
    one = whole(1, _MOST_CONNECTIONS)
    return [one(part.strip()) for part in text.split(",")]


def run(args: argparse.Namespace) -> int:
    """Load it and print the table; 1 when no request at all was answered well."""
    from gpfn.bench.summary import HEADER, document, draw_loads, limit_of, table_rows
    from gpfn.cli.table import print_table

    # what a handler raises inside a callback of the loop is lost; Ctrl-C ends it, and the server
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    if args.seconds <= 0:
        raise SetupError("expected a time above 0", field="--seconds")
    with _subject(args) as subject:
        model, request = subject.model, _request(subject.model, args.input)
        runs = list(_runs(subject, request, args))
    shown = f"{args.model}: {model.protocol}, {len(request)} bytes a request"
    if args.plot:
        draw_loads(runs, shown, Path(args.plot))
    if args.json:
        facts = {"model": args.model, "protocol": model.protocol, "request_bytes": len(request)}
        print(json.dumps({**facts, "loads": document(runs)}, indent=2, ensure_ascii=False))
    else:
        print(shown, end="\n\n")
        print_table(table_rows(runs), HEADER, right=range(8))
        print()
        for one in runs:
            print(f"{one.load.connections} connections: {limit_of(one)}")
    return 0 if any(len(one.load.times) for one in runs) else 1


class _Subject(NamedTuple):
    """What is loaded, where it tells of its batches, and its processes where they are known."""

    model: "AskedModel"
    telling: "AskedModel"
    processes: "Processes | None"


@contextmanager
def _subject(args: argparse.Namespace) -> "Iterator[_Subject]":
    from gpfn.bench.asking import find_model
    from gpfn.bench.subject import local_processes
    from gpfn.cli.resolve import is_address

    if not is_address(args.model) and not args.model.lower().startswith("grpc://"):
        with _served(args) as subject:
            yield subject
        return
    if args.serve:
        raise SetupError("a server at an address runs already", field="--serve")
    model = find_model(args.model, args.protocol or "")
    yield _Subject(model, model, local_processes(model.server))


@contextmanager
def _served(args: argparse.Namespace) -> "Iterator[_Subject]":
    from gpfn.bench.asking import find_model
    from gpfn.bench.subject import free_port, started
    from gpfn.cli.resolve import model_uri

    options, protocol = shlex.split(args.serve), args.protocol or "graphpipe"
    port = free_port() if protocol == "grpc" else 0
    if port:
        options += ["--grpc", f"127.0.0.1:{port}"]
    with started(model_uri(args.model), options) as (address, processes):
        told = find_model(f"{address.scheme}://{address.authority}", "v2" if port else protocol)
        model = find_model(f"grpc://127.0.0.1:{port}/{told.name}") if port else told
        yield _Subject(model, told, processes)


def _request(model: "AskedModel", files: list[str]) -> bytes:
    from gpfn.bench.asking import first_answer, input_specs, request_bytes, zero_inputs
    from gpfn.cli.predict import read_inputs

    specs = input_specs(model)
    arrays = read_inputs(files, specs) if files else zero_inputs(specs)
    if not arrays:
        raise SetupError("the server tells no inputs; give --input", field="--input")
    request = request_bytes(model, arrays)
    first_answer(model, request)  # what the server says against it is said before any load
    return request


def _runs(subject: _Subject, request: bytes, args: argparse.Namespace) -> "Iterator[Run]":
    from gpfn.bench.generator import LoadPlan
    from gpfn.bench.subject import Counts, counts
    from gpfn.bench.summary import Run
    from gpfn.cli.table import show_progress

    model, telling, processes = subject
    send = _loader(model.protocol)
    spent = None if processes is None else processes.seconds
    with show_progress("load") as progress:
        for number, connections in enumerate(args.connections, 1):
            plan = LoadPlan(connections, args.seconds, args.check, processor=spent)
            before, used = counts(telling), processes.each() if processes else {}
            load = send(model.server, request, plan)
            after, busy = counts(telling), processes.busy_since(used) if processes else 0
            progress(number, len(args.connections))
            yield Run(load, after and after.since(before or Counts()), busy)


def _loader(protocol: str) -> "Callable[[Address, bytes, LoadPlan], Load]":
    if protocol == "grpc":
        from gpfn.bench.rpc import grpc_load

        return grpc_load
    from gpfn.bench.generator import http_load

    return http_load
