"""The point in time after which nobody waits for the answer any more.

Every platform states it in its own way; inside gpfn it is one value. It is checked before
work begins, and a remote model gets what is left of it as its time-out.
"""

import time

from gpfn.errors import DeadlineExceeded

__all__ = ["NEVER", "Deadline"]


class Deadline:
    """A point on the monotonic clock, in seconds; infinity when there is none.

    >>> Deadline.after(5.0).remaining() <= 5.0
    True
    """

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def at_epoch(cls, seconds: float) -> "Deadline":
        """Return the deadline at a wall-clock time, in seconds since 1970 (UTC)."""
        return cls(time.monotonic() + (seconds - time.time()))

    def remaining(self) -> float:
        """Return the seconds left: infinity without a deadline, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def expired(self) -> bool:
        """Say whether it has passed."""
        return time.monotonic() >= self.at

    def check(self, before: str) -> None:
        """Raise DeadlineExceeded when it has passed; ``before`` names the work dropped."""
        if self.expired():
            late = time.monotonic() - self.at
            raise DeadlineExceeded(f"the deadline passed {late:.3f} s before {before}")

    def earlier(self, other: "Deadline") -> "Deadline":
        """Return whichever comes first."""
        return self if self.at <= other.at else other

    def __repr__(self) -> str:
        return f"Deadline(remaining={self.remaining():.3f})"


NEVER = Deadline(float("inf"))
