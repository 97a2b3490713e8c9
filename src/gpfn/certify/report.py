"""The outcomes of checks, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict

from gpfn.certify.check import Outcome

__all__ = ["line", "shown", "summary"]

_WORDS = {"pass": "pass", "fail": "FAIL", "not applicable": "n/a "}


def line(outcome: Outcome) -> str:
    """Return an outcome as one line of a table, and why it did not pass below it."""
    text = f"{_WORDS[outcome.result]}  {outcome.id:4} {outcome.title:62}  {outcome.source}"
    if not outcome.reason:
        return text.rstrip()
    return f"{text.rstrip()}\n           {outcome.reason}"


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return how many passed, failed, and did not apply."""
    counts = {word: sum(o.result == word for o in outcomes) for word in _WORDS}
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def shown(subject: str, suite: str, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return everything, for ``--json``."""
    return {
        "subject": subject,
        "suite": suite,
        "passed": not any(outcome.result == "fail" for outcome in outcomes),
        "checks": [asdict(outcome) for outcome in outcomes],
    }
