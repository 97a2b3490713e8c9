"""``gpfn bridge check``: whether everything that a bridge.toml names is there."""

import argparse
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gpfn.bridge.spec import BridgeSpec, RouteSpec

__all__ = ["add_check_arguments", "check"]


class _Finding(NamedTuple):
    """What was looked at, whether it is as it must be, and what is to be said of it."""

    what: str
    passes: bool
    detail: str


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file."""
    parser.add_argument("file", metavar="FILE", nargs="?", default="bridge.toml", help="a "
                        "bridge.toml (default: that of this folder)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def check(args: argparse.Namespace) -> int:
    """Read it, look whether everything that it names is there, and say so line by line."""
    import asyncio
    from pathlib import Path

    from gpfn.bridge.config import read_bridge

    spec = read_bridge(Path(args.file))  # names, limits, and loops among routes
    findings = [_Finding("file", True, f"{len(spec.routes)} routes, no loop")]
    findings += asyncio.run(_findings(spec))
    if args.json:
        import json

        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        from gpfn.cli.table import print_marked

        for what, passes, detail in findings:
            print_marked(f"{'pass' if passes else 'FAIL'}  {what}: {detail}")
    return int(not all(finding.passes for finding in findings))


async def _findings(spec: "BridgeSpec") -> list[_Finding]:
    import asyncio

    from gpfn.bridge.operating.probing import probe_sink, probe_source
    from gpfn.log import Log

    log = Log("bridge", form="quiet")
    found = [
        _told("source", "topics are there and may be read", await probe_source(spec.source)),
        _told("sink", "topics are there and may be written to", await probe_sink(spec, log)),
    ]
    calls = [_route(route) for route in spec.routes]
    return [*found, *await asyncio.gather(*calls)]


def _told(what: str, good: str, error: Exception | None) -> _Finding:
    return _Finding(what, error is None, good if error is None else str(error))


async def _route(route: "RouteSpec") -> _Finding:
    from gpfn.bridge.operating.probing import probe_destination

    what = f"route {route.name}"
    error = await probe_destination(route)
    return _told(what, "its function is there", error)
