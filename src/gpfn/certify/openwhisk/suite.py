"""All checks of an OpenWhisk action's server."""

from collections.abc import Iterator

from gpfn.certify.check import Check, Outcome, run_checks
from gpfn.certify.openwhisk import basic, kit, platform, proxy, python, skeleton
from gpfn.certify.openwhisk.action import Actions
from gpfn.certify.subject import Subject

__all__ = ["CHECKS", "certify"]

CHECKS: list[Check[Actions]] = [
    check for module in (basic, python, skeleton, proxy, platform, kit) for check in module.CHECKS
]
"""In the order of the platform's checklist."""


def certify(subject: Subject, timeout: float, only: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """Run the checks whose ids begin with one of ``only``, or all of them."""
    chosen = [check for check in CHECKS if not only or check.id.startswith(only)]
    yield from run_checks(chosen, Actions(subject, timeout))
