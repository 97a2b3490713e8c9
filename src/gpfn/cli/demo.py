"""``gpfn demo``: what ``make run`` shows. An event goes in, a forecast comes out, twice.

A GraphPipe server in a process of its own serves the model; the function, started under
Fn's contract in another, asks it. Then the function is started again without the server,
with the model in its own process. Outside of a checkout the function and the event are made
here, and the model is the one that comes with gpfn.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
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
_FUNCTION = """\
from gpfn import Function

handler = Function(
    model=("env:GP_SERVER_URL", "catalogue:forecast"), output="forecast", name="forecast"
).fn
"""
_EVENT = """\
{
  "specversion": "1.0", "id": "series-2024-12", "type": "com.example.forecast",
  "source": "https://example.com/series/monthly", "datacontenttype": "application/json",
  "data": [[
    [34.34], [33.9], [33.48], [31.16], [28.12], [25.48], [26.01], [30.04], [33.76], [36.46],
    [36.24], [36.21], [35.32], [35.22], [34.48], [31.97], [28.55], [26.02], [26.67], [30.32]
  ]]
}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is shown; in a checkout the defaults are its own files."""
    usual = "(default: the checkout's %s, elsewhere one that comes with gpfn)"
    flag = parser.add_argument
    flag("--function", metavar="FOLDER", help=usual % "functions/forecast")
    flag("--model", metavar="FILE", help=usual % "models/forecast.tflite")
    flag("--event", metavar="FILE", help=usual % "ce_samples/forecast.json")
    flag("--repeat", type=whole(1), default=20, metavar="N", help="calls of each kind")


def run(args: argparse.Namespace) -> int:
    """Call the function both ways, print the event and where the time went."""
    with TemporaryDirectory(prefix="gpfn-demo-") as folder:
        made = Path(folder)
        (made / "func.py").write_text(_FUNCTION, encoding="utf-8")
        (made / "event.json").write_text(_EVENT, encoding="utf-8")
        function = _chosen(args.function, "functions/forecast", folder)
        event = _chosen(args.event, "ce_samples/forecast.json", str(made / "event.json"))
        model = _chosen(args.model, "models/forecast.tflite", "forecast")
        _show(function, model, Path(event).read_bytes(), args.repeat)
    return 0


def _chosen(given: str | None, ours: str, otherwise: str) -> str:
    """Return what was given, else the checkout's file when this is its top, else another."""
    if given is not None and not Path(given).exists():
        raise SetupError("no such file or folder", field=given)
    return given or (ours if Path(ours).exists() else otherwise)


def _show(function: str, model: str, body: bytes, repeat: int) -> None:
    from gpfn.cli.table import print_table

    with _model_server(model) as (url, seconds):
        remote, remote_times = _invoke(function, body, url, repeat)
    local, local_times = _invoke(function, body, "", repeat)
    _compare(remote, local)
    print(_pretty(local))
    sys.stdout.flush()
    rows = _side_by_side(seconds, remote_times, local_times)
    print_table(rows[1:], rows[0], right=(1, 2), stream=sys.stderr)


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
    function: str, body: bytes, url: str, repeat: int
) -> tuple["InvocationResult", "Timings"]:
    """Start the function under Fn's contract and call it; its model is at ``url``, or its own."""
    from gpfn.hosts.host import Invocation, StartedFunction, make_host
    from gpfn.hosts.target import find_target

    os.environ[_SERVER] = url
    session = StartedFunction(make_host("fn", find_target(function)))
    try:
        with session:
            answer = session.call(Invocation(body=body, content_type="text/plain"), repeat)
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
