"""A check, a list of them, and what came of one; the checks of a platform.

A platform's row in the table names its lists of checks and what starts a subject for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, cast

from gpfn.errors import GpfnError
from gpfn.platforms.row import PlatformSuite
from gpfn.platforms.table import find_platform, load_attribute

if TYPE_CHECKING:
    from gpfn.certify.subject import Subject

__all__ = [
    "Check",
    "Checklist",
    "Outcome",
    "Result",
    "certify",
    "expect",
    "line",
    "load_checks",
    "not_applicable",
    "run_checks",
    "shown",
    "summary",
]

Result = Literal["pass", "fail", "stricter", "not applicable"]
_S = TypeVar("_S")


class _Failed(Exception):
    pass


class _NotApplicable(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Check(Generic[_S]):
    """One thing that a platform relies on.

    ``source`` says where that is written: a file and line of the platform's, or a section
    of its documentation. ``stricter`` is set where the platform's own runtime fails it,
    and says what that does instead.
    """

    id: str
    title: str
    source: str
    run: Callable[[_S], None]
    stricter: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check; ``reason`` is empty when it passed.

    The result is ``stricter`` instead of ``fail`` where the platform's own runtime fails too.
    """

    id: str
    title: str
    source: str
    result: Result
    reason: str = ""
    seconds: float = 0.0
    stricter: str = ""


class Checklist(Generic[_S]):
    """The checks of one module, in the order they are written."""

    def __init__(self) -> None:
        self.checks: list[Check[_S]] = []

    def __call__(
        self, identifier: str, title: str, source: str, *, stricter: str = ""
    ) -> Callable[[Callable[[_S], None]], Callable[[_S], None]]:
        """Add a function to the list; it raises through expect() and not_applicable()."""

        def add(function: Callable[[_S], None]) -> Callable[[_S], None]:
            self.checks.append(Check(identifier, title, source, function, stricter))
            return function

        return add


def expect(condition: object, problem: str) -> None:
    """End the running check as failed unless ``condition`` holds."""
    if not condition:
        raise _Failed(problem)


def not_applicable(reason: str) -> NoReturn:
    """End the running check as not applicable."""
    raise _NotApplicable(reason)


def certify(
    platform: str,
    subject: Subject,
    timeout: float,
    only: Sequence[str] = (),
    jobs: int = 1,
    *,
    strict: bool = False,
) -> Iterator[Outcome]:
    """Run a platform's checks on a subject, or those that ``only`` names; see run_checks().

    ``timeout`` is the seconds for one answer. Raises SetupError for a platform without checks.
    """
    starter = cast("Callable[[Subject, float], Any]", load_attribute(_suite(platform).starter))
    checks = load_checks(platform)
    if subject.kind == "url":  # they all talk to one server, which what is stricter may end
        jobs = 1
        checks.sort(key=lambda check: bool(check.stricter))
    return run_checks(checks, starter(subject, timeout), only, jobs, strict=strict)


def load_checks(platform: str) -> list[Check[Any]]:
    """Return all checks of a platform, in order."""
    lists = (load_attribute(reference) for reference in _suite(platform).checks)
    return [check for checks in lists for check in cast("list[Check[Any]]", checks)]


def _suite(platform: str) -> PlatformSuite:
    suite = find_platform(platform, "suite").suite
    assert suite is not None, "has this column"  # noqa: S101 - find_platform has looked
    return suite


def run_checks(
    checks: Sequence[Check[_S]],
    subject: _S,
    only: Sequence[str] = (),
    jobs: int = 1,
    *,
    strict: bool = False,
) -> Iterator[Outcome]:
    """Run the checks, ``jobs`` at a time; outcomes come in order, as soon as they are known.

    ``only`` are ids, or letters with which ids begin; all checks when there are none.
    With ``strict`` also those have to pass that the platform's own runtime fails.
    """
    chosen = [check for check in checks if not only or _is_among(check.id, only)]
    with ThreadPoolExecutor(jobs) as executor:
        yield from executor.map(lambda check: _outcome(check, subject, strict), chosen)


def _is_among(identifier: str, only: Sequence[str]) -> bool:
    return any(
        identifier == word or (word.isalpha() and identifier.startswith(word)) for word in only
    )


def _outcome(check: Check[_S], subject: _S, strict: bool) -> Outcome:
    began = time.monotonic()
    result, reason = _run(check, subject)
    if result == "fail" and check.stricter and not strict:
        result = "stricter"
    seconds = time.monotonic() - began
    named = (check.id, check.title, check.source)
    return Outcome(*named, result, reason, seconds, check.stricter)


def _run(check: Check[_S], subject: _S) -> tuple[Result, str]:
    try:
        check.run(subject)
    except _NotApplicable as reason:
        return "not applicable", str(reason)
    except _Failed as problem:
        return "fail", str(problem)
    except GpfnError as problem:  # it did not start, broke off, or did not answer
        return "fail", str(problem)
    return "pass", ""


_WORDS = {"pass": "pass", "fail": "FAIL", "stricter": "more", "not applicable": "n/a "}
_BELOW = "\n           "


def line(outcome: Outcome) -> str:
    """Return an outcome as one line of a table, and why it did not pass below it."""
    text = f"{_WORDS[outcome.result]}  {outcome.id:4} {outcome.title:62}  {outcome.source}"
    if not outcome.reason:
        return text.rstrip()
    text = text.rstrip() + _BELOW + outcome.reason
    if outcome.result == "stricter":
        text += f"{_BELOW}stricter than the platform, whose own runtime {outcome.stricter}"
    return text


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return how many passed, failed, failed what is stricter, and did not apply."""
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
