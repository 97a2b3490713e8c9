"""``gpfn pipeline bench``: what the three placements cost, beside direct calls to each stage.

The processes are its own, on free ports: what runs where the file says is not touched.
"""

import argparse
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.cli.options import seconds
from gpfn.errors import SetupError

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.pipeline import Pipeline, PipelineFile
    from gpfn.pipelines import Placement
    from gpfn.pipelines.measuring import Times

    _Arrays = Mapping[str, np.ndarray[Any, Any]]

__all__ = ["add_bench_arguments", "bench"]

_DIRECT = "direct"
_HEADER = ("placement", "p50 ms", "p99 ms", "calls/s", "ratio")


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is measured, for how long, and with what."""
    from gpfn.cli.pipeline import add_file_arguments, add_input_argument

    add_file_arguments(parser, place=False)
    add_input_argument(parser)
    parser.add_argument("--seconds", type=seconds, default=2.0, help="of each way (default: 2)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


class _Result(NamedTuple):
    """A way of calling, in milliseconds and calls a second, beside direct calls."""

    way: str
    p50: float
    p99: float
    rate: float
    ratio: float


def bench(args: argparse.Namespace) -> int:
    """Start the stages, measure, print the table."""
    from gpfn.models.pipeline import read_pipeline

    if args.seconds <= 0:
        raise SetupError("expected a time above 0", field="--seconds")
    file = read_pipeline(args.file)
    placements, refused = _placements(file)
    with _started(placements, file.name) as pipelines:
        results = _measured(placements["client"], pipelines, file.name, args)
    if args.json:
        import json

        ways = [result._asdict() for result in results]
        document = {"pipeline": file.name, "seconds": args.seconds, "ways": ways}
        print(json.dumps({**document, "refused": refused}, indent=2, ensure_ascii=False))
        return 0
    from gpfn.cli.table import print_table

    rows = [(name, *_figures(result)) for name, result in _titles(results, file).items()]
    print_table(rows, _HEADER, right=range(1, 5))
    for name, why in refused.items():
        print(f"{name}: {why}")
    return 0


def _placements(file: "PipelineFile") -> "tuple[dict[str, Placement], dict[str, str]]":
    """Return the placements on free ports, and why others are not possible.

    A server that goes on to another one by itself has a port of its own; the other two
    placements share theirs.
    """
    from gpfn.pipelines import place_stages

    ports = iter(_free_ports(2 * len(file.stages)))
    shared, own = _moved(file, ports), _moved(file, ports)
    found, refused = dict[str, Any](), dict[str, str]()
    for place, moved in (("client", shared), ("server", own), ("hybrid", shared)):
        try:
            found[place] = place_stages(moved, place)
        except SetupError as error:
            if place == "client":
                raise
            refused[place] = str(error)
    return found, refused


def _free_ports(count: int) -> list[int]:
    """Return ports where nobody listens, each another one."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _moved(file: "PipelineFile", ports: Iterator[int]) -> "PipelineFile":
    stages = [
        stage
        if "://" in str(stage.target) and not stage.listen
        else stage._replace(listen=f"127.0.0.1:{next(ports)}")
        for stage in file.stages
    ]
    return file._replace(stages=tuple(stages))


@contextmanager
def _started(placements: "Mapping[str, Placement]", name: str) -> "Iterator[dict[str, Pipeline]]":
    """Start the processes of all placements; yields what calls each."""
    from gpfn.pipelines import StageProcesses
    from gpfn.pipelines.measuring import open_entry

    # what callers may have a stage call is all that a hybrid one has besides
    launches = {
        launch.listen: launch for placement in placements.values() for launch in placement.launches
    }
    with ExitStack() as stack:
        by_start = [
            [launch for launch in placement.launches if launches[launch.listen] is launch]
            for placement in placements.values()
        ]
        for group in by_start:
            stack.enter_context(StageProcesses(group)).start()
        pipelines = {place: open_entry(each, name) for place, each in placements.items()}
        for pipeline in pipelines.values():
            stack.callback(pipeline.close)
        yield pipelines


def _measured(
    client: "Placement", pipelines: "Mapping[str, Pipeline]", name: str, args: argparse.Namespace
) -> list[_Result]:
    from gpfn.cli.pipeline_run import given_inputs
    from gpfn.pipelines.measuring import measure_ways, same_answers, stage_calls

    inputs = given_inputs(args.input, pipelines["client"].inputs)
    same_answers({place: pipeline(inputs) for place, pipeline in pipelines.items()})
    calls = stage_calls(client, name, inputs)
    ways: dict[str, Callable[[], object]] = {_DIRECT: lambda: [call() for call in calls]}
    ways |= {place: _call(pipeline, inputs) for place, pipeline in pipelines.items()}
    times = measure_ways(ways, args.seconds)
    floor = times[_DIRECT].percentile(50)
    return [_result(way, found, floor) for way, found in times.items()]


def _call(pipeline: "Pipeline", inputs: "_Arrays") -> Callable[[], object]:
    return lambda: pipeline(inputs)


def _result(way: str, times: "Times", floor: float) -> _Result:
    p50, p99 = times.percentile(50), times.percentile(99)
    return _Result(way, round(p50, 4), round(p99, 4), round(times.rate, 1), round(p50 / floor, 3))


def _titles(results: Sequence[_Result], file: "PipelineFile") -> dict[str, _Result]:
    direct = f"{len(file.stages)} direct calls"
    return {direct if each.way == _DIRECT else each.way: each for each in results}


def _figures(result: _Result) -> tuple[str, ...]:
    return (f"{result.p50:.3f}", f"{result.p99:.3f}", f"{result.rate:.0f}", f"{result.ratio:.2f}")
