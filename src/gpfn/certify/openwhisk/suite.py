"""All checks of an OpenWhisk action's server."""

from collections.abc import Iterator, Sequence

from gpfn.certify.check import Check, Outcome, run_checks
from gpfn.certify.openwhisk import basic, kit, platform, proxy, python, skeleton
from gpfn.certify.openwhisk.action import Actions
from gpfn.certify.subject import Subject

__all__ = ["CHECKS", "certify"]

CHECKS: list[Check[Actions]] = [
    check for module in (basic, python, skeleton, proxy, platform, kit) for check in module.CHECKS
]
"""In the order of the platform's checklist."""


def certify(
    subject: Subject, timeout: float, only: Sequence[str] = (), jobs: int = 1
) -> Iterator[Outcome]:
    """Run the checks that ``only`` names, or all of them; see run_checks()."""
    jobs = 1 if subject.kind == "url" else jobs  # they all talk to the one server
    return run_checks(CHECKS, Actions(subject, timeout), only, jobs)
