"""All checks of an Fn container."""

from collections.abc import Iterator, Sequence

from gpfn.certify.check import Check, Outcome, run_checks
from gpfn.certify.fn import life, listening, replies, requests
from gpfn.certify.fn.container import Containers
from gpfn.certify.subject import Subject

__all__ = ["CHECKS", "certify"]

CHECKS: list[Check[Containers]] = [
    check for module in (listening, requests, replies, life) for check in module.CHECKS
]
"""In the order of a container's life."""


def certify(
    subject: Subject, timeout: float, only: Sequence[str] = (), jobs: int = 1
) -> Iterator[Outcome]:
    """Run the checks that ``only`` names, or all of them; see run_checks()."""
    jobs = 1 if subject.kind == "url" else jobs  # they all talk to the one server
    return run_checks(CHECKS, Containers(subject, timeout), only, jobs)
