"""Which queue a command of ``gpfn bridge`` means: an address, or that of a bridge.toml."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.bridge.spec import BridgeSpec, Place

__all__ = ["add_place_arguments", "bridge_of", "milliseconds", "place_of"]

_USUAL = "bridge.toml"


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the queue is."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--kafka", metavar="HOST:PORT", help="the address of a Kafka broker")
    group.add_argument("--nats", metavar="URL", help="the URL of a NATS server")
    group.add_argument("--queue", metavar="FILE", help="a queue of this machine, a SQLite file")
    group.add_argument("--bridge", metavar="FILE", help="the queue of a bridge.toml, with its "
                       f"settings (default: {_USUAL})")  # fmt: skip


def place_of(args: argparse.Namespace, *, written: bool = False) -> "Place":
    """Return the queue that is meant: a bridge's source, or what it writes to.

    Raises SetupError when none is.
    """
    from gpfn.bridge.spec import Place

    for kind in ("kafka", "nats", "queue"):
        address = getattr(args, kind)
        if address:
            return Place(kind, address)
    spec = bridge_of(args)
    return spec.sink if written else spec.source


def bridge_of(args: argparse.Namespace) -> "BridgeSpec":
    """Return the bridge of ``--bridge``, or of bridge.toml in this folder."""
    from pathlib import Path

    from gpfn.bridge.config import read_bridge
    from gpfn.errors import SetupError

    path = Path(args.bridge or _USUAL)
    if not args.bridge and not path.exists():
        told = f"expected --kafka, --nats, --queue or --bridge: there is no {_USUAL} here"
        raise SetupError(told)
    return read_bridge(path)


def milliseconds(text: str, field: str) -> int:
    """Return a time as milliseconds since 1970.

    It is a date and a time with or without an offset from UTC, which is what is meant without
    one (``2026-11-28T10:00``), or how long ago it was (``10m``, ``2h``). Raises SetupError.
    """
    import time
    from datetime import UTC, datetime

    from gpfn.errors import SetupError
    from gpfn.settings import parse_duration

    if "-" not in text:
        try:
            return int((time.time() - parse_duration(text, field=field, most=1e9)) * 1000)
        except SetupError:
            raise _no_time(text, field) from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _no_time(text, field) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _no_time(text: str, field: str) -> Exception:
    from gpfn.errors import SetupError

    told = f"expected a time such as 2026-11-28T10:00, or 10m for ten minutes ago, got {text!r:.40}"
    return SetupError(told, field=field)
