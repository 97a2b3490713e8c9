"""All checks of an Fn container."""

from collections.abc import Iterator

from gpfn.certify.check import Check, Outcome, run_checks
from gpfn.certify.fn import life, listening, replies, requests
from gpfn.certify.fn.container import Containers
from gpfn.certify.subject import Subject

__all__ = ["CHECKS", "certify"]

CHECKS: list[Check[Containers]] = [
    check for module in (listening, requests, replies, life) for check in module.CHECKS
]
"""In the order of a container's life."""


def certify(subject: Subject, timeout: float, only: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """Run the checks whose ids begin with one of ``only``, or all of them."""
    chosen = [check for check in CHECKS if not only or check.id.startswith(only)]
    yield from run_checks(chosen, Containers(subject, timeout))
