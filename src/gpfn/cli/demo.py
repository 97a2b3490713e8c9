"""``gpfn demo``: what ``make run`` shows. An event goes in, a forecast comes out, twice.

A GraphPipe server in a process of its own serves the model; the function, started under
Fn's contract in another, asks it. Then the function is started again without the server,
with the model in its own process.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.cli.options import whole
from gpfn.errors import BrokenReply, GpfnError, SetupError

if TYPE_CHECKING:
    from gpfn.hosts.child import Child
    from gpfn.hosts.host import InvocationResult, Timings

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "show an event going in and a forecast coming out, with the model remote and local"
EXAMPLES = """
gpfn demo
gpfn demo --repeat 200
"""

_SERVER = "GP_SERVER_URL"
_START_SECONDS = 60.0
_CLOSE = 1e-5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is shown; the defaults are those of a checkout."""
    parser.add_argument("--function", default="functions/forecast", metavar="FOLDER")
    parser.add_argument("--model", default="models/forecast.tflite", metavar="FILE")
    parser.add_argument("--event", default="ce_samples/forecast.json", metavar="FILE")
    parser.add_argument(
        "--repeat", type=whole(1), default=20, metavar="N", help="calls of each kind"
    )


def run(args: argparse.Namespace) -> int:
    """Call the function both ways, print the event and where the time went."""
    from gpfn.cli.table import print_table

    for path in (args.function, args.model, args.event):
        if not Path(path).exists():
            raise SetupError("not here; run this at the top of a checkout of gpfn", field=path)
    body = Path(args.event).read_bytes()
    with _model_server(args.model) as (url, seconds):
        remote, remote_times = _invoke(args, body, url)
    local, local_times = _invoke(args, body, "")
    _compare(remote, local)
    print(_pretty(local))
    sys.stdout.flush()
    rows = _side_by_side(seconds, remote_times, local_times)
    print_table(rows[1:], rows[0], right=(1, 2), stream=sys.stderr)
    return 0


@contextmanager
def _model_server(model: str) -> Iterator[tuple[str, float]]:
    """Serve the model on a free loopback port; yields the URL and the seconds to ready."""
    from gpfn.hosts.child import Child, command_line
    from gpfn.hosts.log import listening_url

    command = [*command_line("gpfn"), "serve", "--model", model, "--listen", "127.0.0.1:0"]
    child = Child(command, Path.cwd(), {**os.environ, "GPFN_LOG": "json"})
    try:
        seconds = _wait(child)
        yield listening_url(child.log()), seconds
    finally:
        child.stop()


def _wait(child: "Child") -> float:
    from gpfn.hosts.log import readable, start_seconds

    try:
        return child.wait_until(lambda: bool(start_seconds(child.log())), _START_SECONDS)
    except GpfnError as error:
        log = readable(child.log()).strip()
        raise SetupError(f"the model server did not start: {log}") from error


def _invoke(
    args: argparse.Namespace, body: bytes, url: str
) -> tuple["InvocationResult", "Timings"]:
    """Start the function under Fn's contract and call it; its model is at ``url``, or its own."""
    from gpfn.hosts.host import Invocation, StartedFunction, make_host
    from gpfn.hosts.target import find_target

    os.environ[_SERVER] = url
    session = StartedFunction(make_host("fn", find_target(args.function)))
    try:
        with session:
            answer = session.call(Invocation(body=body, content_type="text/plain"), args.repeat)
            if answer.failed:
                raise BrokenReply(f"the function failed: {answer.body.decode(errors='replace')}")
    except GpfnError:
        print(session.log(), end="", file=sys.stderr)
        raise
    times = session.timings
    times.parts["interpreter and the rest"] = times.start - sum(times.parts.values())
    return answer, times


def _compare(remote: "InvocationResult", local: "InvocationResult") -> None:
    import numpy as np
    import orjson

    there, here = (np.asarray(orjson.loads(answer.body)["data"]) for answer in (remote, local))
    if there.shape != here.shape or not np.allclose(there, here, rtol=_CLOSE, atol=_CLOSE):
        raise BrokenReply("the model server and the model in the process do not agree")


def _pretty(answer: "InvocationResult") -> str:
    """Return the event indented, with the numbers of each innermost list on one line."""
    import json

    text = json.dumps(json.loads(answer.body), indent=2, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", _on_one_line, text)


def _on_one_line(found: "re.Match[str]") -> str:
    return " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]")


def _side_by_side(server: float, remote: "Timings", local: "Timings") -> list[tuple[str, str, str]]:
    here = dict(local.rows())
    there = dict(remote.rows())
    names = list(dict.fromkeys([*there, *here]))
    rows = [("", "model remote", "model in the process")]
    rows.append(("model server ready", f"{server * 1000:.2f} ms", "-"))
    return rows + [(name, there.get(name, "-"), here.get(name, "-")) for name in names]
