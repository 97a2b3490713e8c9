"""Subjects to check, and what came of it."""

import sys
from pathlib import Path

from gpfn.certify.check import Outcome
from gpfn.certify.subject import Subject

__all__ = ["GPFN", "HERE", "command", "of", "server"]

HERE = Path(__file__).resolve().parent
GPFN = str(Path(sys.executable).parent / "gpfn")


def of(outcomes: list[Outcome], result: str) -> dict[str, str]:
    """Return the ids with a result, and the reasons."""
    return {outcome.id: outcome.reason for outcome in outcomes if outcome.result == result}


def command(*words: str) -> Subject:
    """Return a command as a subject."""
    return Subject("command", " ".join(words), words)


def server(name: str) -> Subject:
    """Return one of the servers beside this file."""
    return command(sys.executable, str(HERE / f"{name}.py"))
