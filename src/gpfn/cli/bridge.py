"""``gpfn bridge``: events from a queue or files to functions, and their replies back."""

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "bring events from Kafka, NATS, a queue or files to functions, and their replies back"
EXAMPLES = """
gpfn bridge demo
gpfn bridge run --from events.jsonl --call functions/forecast --to answers.jsonl
gpfn bridge kafka --up
gpfn bridge run bridge.toml
gpfn bridge send --topic readings < ce_samples/forecast.json
gpfn bridge tail forecasts
gpfn bridge dead list
gpfn bridge check bridge.toml
"""

_ACTIONS = {
    "run": ("bridge_run", "read events, call functions, write replies, until Ctrl-C"),
    "demo": ("bridge_demo", "see 1,000 events go round: one poisoned, one late, one retried"),
    "check": ("bridge_check", "check a bridge.toml: names, topics, rights, reachability, loops"),
    "send": ("bridge_send", "write events to a topic"),
    "tail": ("bridge_tail", "show what comes to a topic"),
    "replay": ("bridge_replay", "send events of a topic to a route once more"),
    "dead": ("bridge_dead", "list, show, retry or drop dead letters"),
    "lag": ("bridge_lag", "show how much of each partition is not done"),
    "kafka": ("bridge_kafka", "start a real Apache Kafka for development"),
}
"""The module of each sub-command, which has ``add_NAME_arguments`` and ``NAME``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-command for each thing to do."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (module, about) in _ACTIONS.items():
        added = actions.add_parser(name, help=about, description=about, allow_abbrev=False)
        _named(module, f"add_{name}_arguments")(added)


def run(args: argparse.Namespace) -> int:
    """Do one of them."""
    done: int = _named(_ACTIONS[args.action][0], args.action)(args)
    return done


def _named(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(f"gpfn.cli.{module}"), name)
    return found
