"""``gpfn bridge``: events from a queue or files to functions, and their replies back."""

import argparse

from gpfn.cli.commands import Actions, add_actions, run_action

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

_ACTIONS: Actions = {
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-command for each thing to do."""
    add_actions(parser, _ACTIONS)


def run(args: argparse.Namespace) -> int:
    """Do one of them."""
    return run_action(args, _ACTIONS)
