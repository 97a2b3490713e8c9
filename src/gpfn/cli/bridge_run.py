"""``gpfn bridge run``: a bridge at work, shown as a table, as lines or as JSON lines."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.bridge.engine import Bridge
    from gpfn.bridge.spec import BridgeSpec
    from gpfn.cli.bridge_screen import BridgeScreen
    from gpfn.log import Log

__all__ = ["add_run_arguments", "run", "run_spec"]

_DRAW_SECONDS = 0.5


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file of a bridge, or what stands for one on the command line."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="a bridge.toml")
    parser.add_argument("--from", dest="source", metavar="FILE", help="instead of a bridge.toml: "
                        "events as JSON lines, - for stdin")  # fmt: skip
    parser.add_argument("--call", metavar="FUNCTION", help="with --from: a folder, a func.py or "
                        "a URL")  # fmt: skip
    parser.add_argument("--to", metavar="FILE", help="with --from: where replies go, - for stdout")
    parser.add_argument("--dead-letter", metavar="FILE", help="with --from: where events go that "
                        "cannot be dealt with (default: the bridge stops there)")  # fmt: skip
    parser.add_argument("--follow", action="store_true", help="with --from: wait for more, also "
                        "when the file is rotated or cut off")  # fmt: skip
    parser.add_argument("--attempts", metavar="N", default="10", help="with --from: calls of an "
                        "event before it is a dead letter (default: 10)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM, or until the file was read."""
    return run_spec(_spec(args), as_json=args.json, quiet=args.to == "-")


def run_spec(spec: "BridgeSpec", *, as_json: bool = False, quiet: bool = False) -> int:
    """Run a bridge and show what it does; ``quiet`` where stdout is for replies."""
    import gc

    from gpfn.bridge.opening import open_bridge
    from gpfn.cli.bridge_screen import make_screen
    from gpfn.http.loop.process import run_loop
    from gpfn.limits import Limits
    from gpfn.log import Log

    log = Log("bridge")
    bridge = open_bridge(spec, limits=Limits.from_env(), log=log)
    gc.freeze()  # what is loaded stays, and events make few cycles: look for these seldom
    gc.set_threshold(50_000, 50, 1000)
    with make_screen(bridge, as_json=as_json, quiet=quiet) as screen:
        run_loop(lambda: _run(bridge, screen, log))
    return 0


async def _run(bridge: "Bridge", screen: "BridgeScreen", log: "Log") -> None:
    import asyncio
    import signal
    from contextlib import AsyncExitStack

    from gpfn.bridge.monitor import Monitor

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, bridge.stop)
    async with AsyncExitStack() as stack:
        if bridge.spec.listen:
            await stack.enter_async_context(Monitor(bridge, bridge.spec.listen, log))
        drawing = asyncio.create_task(_draw(screen))
        try:
            await bridge.run()
        finally:
            drawing.cancel()


async def _draw(screen: "BridgeScreen") -> None:
    import asyncio

    while True:
        await asyncio.sleep(_DRAW_SECONDS)
        screen.draw()


def _spec(args: argparse.Namespace) -> "BridgeSpec":
    from pathlib import Path

    from gpfn.bridge.config import read_bridge
    from gpfn.errors import SetupError

    direct = [args.source, args.call, args.to, args.dead_letter]
    if args.file:
        if any(direct) or args.follow:
            raise SetupError("a file says all of it: leave out --from and what goes with it")
        return read_bridge(Path(args.file))
    if not args.source or not args.call:
        raise SetupError("expected a bridge.toml, or --from FILE and --call FUNCTION")
    return _direct_spec(args)


def _direct_spec(args: argparse.Namespace) -> "BridgeSpec":
    from gpfn.bridge.config import check_loops
    from gpfn.bridge.matching import filter_of
    from gpfn.bridge.retrying import RetryPolicy
    from gpfn.bridge.spec import BridgeSpec, Place, RouteSpec
    from gpfn.settings import parse_whole

    attempts = parse_whole(args.attempts, field="--attempts", least=1, most=1_000_000)
    route = RouteSpec(
        name="events",
        matches=filter_of({}, "match"),
        call=args.call,
        reply=args.to or "",
        retry=RetryPolicy(attempts=attempts),
    )
    source = Place("file", args.source, follow=args.follow)
    spec = BridgeSpec(source, Place("file"), (route,), args.dead_letter or "")
    check_loops(spec)
    return spec
