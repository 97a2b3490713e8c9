"""The settings of a Kafka that is one process on this machine, as Java reads them from a file."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["properties_text"]

_ONE = (
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
)
_FOUR = (
    "num.partitions",
    "offsets.topic.num.partitions",
    "transaction.state.log.num.partitions",
    "share.coordinator.state.topic.num.partitions",
)
"""Kafka's own topics have 50 partitions otherwise, each of which is files and start time."""


def properties_text(host: str, port: int, controller: int, more: Mapping[str, str]) -> str:
    """Return the text of server.properties for a broker at ``port``.

    ``controller`` is the port at which it talks to itself; both may stand in the values of
    ``more``, which go over ours, as ``{port}`` and ``{controller}``.
    """
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{host}:{controller}",
        "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": "data",  # in the folder it runs in, whatever that is called
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",  # 3 s are for many members that start at once
        "broker.session.timeout.ms": "3000",  # a killed one comes back after it
        "broker.heartbeat.interval.ms": "500",
        **dict.fromkeys(_ONE, "1"),
        **dict.fromkeys(_FOUR, "4"),
    }
    for key, value in more.items():
        settings[key] = value.replace("{port}", str(port)).replace("{controller}", str(controller))
    return "".join([f"{key}={_escaped(value)}\n" for key, value in settings.items()])


def _escaped(text: str) -> str:
    """Write a value as java.util.Properties reads it: printable ASCII on one line."""
    return "".join([_escaped_letter(letter) for letter in text])


def _escaped_letter(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    if letter.isascii() and letter.isprintable():
        return letter
    units = letter.encode("utf-16-be").hex()
    return "".join([f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)])
