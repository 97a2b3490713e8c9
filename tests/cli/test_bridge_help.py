"""The help of each command beside ``gpfn bridge run``: examples that its own parser takes."""

import argparse
import shlex

import pytest

from gpfn.cli import bridge
from gpfn.cli.commands import parser_of
from gpfn.cli.main import main

COMMANDS = (
    ("send",), ("tail",), ("replay",), ("lag",), ("dead",),
    ("dead", "list"), ("dead", "show"), ("dead", "retry"), ("dead", "drop"),
)  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bridge", *words, "--help"]) == 0
    _, found, examples = capsys.readouterr().out.partition("examples:\n")
    assert found
    parser: argparse.ArgumentParser = parser_of("bridge", bridge)  # type: ignore[arg-type]
    lines = examples.splitlines()
    assert lines
    for line in lines:
        program, command, *rest = shlex.split(line.partition(" < ")[0])
        assert (program, command) == ("gpfn", "bridge")
        args = parser.parse_args(rest)
        assert args.action == words[0]
        assert len(words) == 1 or args.what == words[1]


@pytest.mark.parametrize(
    "words",
    [
        ("send", "e.jsonl"),
        ("tail",),
        ("tail", "t", "--kafka", "a:1", "--nats", "b:2"),
        ("tail", "t", "--count", "0"),
        ("tail", "t", "--as", "text"),
        ("dead",),
        ("dead", "show"),
        ("dead", "list", "--count", "many"),
        ("replay", "extra"),
        ("lag", "--grou", "g"),
    ],
    ids=" ".join,
)
def test_wrong_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bridge", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: gpfn bridge ")
