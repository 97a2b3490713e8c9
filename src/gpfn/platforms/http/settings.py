"""How many calls at once, and how long each of them may take."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from gpfn.errors import SetupError

__all__ = ["HttpSettings"]


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Times are in seconds; each is read from ``GPFN_<NAME>`` by :meth:`from_env`.

    ``workers`` threads run handlers that are not async; 0 asks for four more than there
    are processors. ``queue`` more calls may wait; one beyond is answered 503.
    ``request_timeout`` is for the whole of a call, its body's arrival included.
    """

    workers: int = 0
    queue: int = 64
    request_timeout: float = 30.0
    start_window: float = 4.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "HttpSettings":
        """Return the settings with what the environment overrides."""
        return cls(
            workers=int(_number(environ, "GPFN_WORKERS", cls().workers, whole=True)),
            queue=int(_number(environ, "GPFN_QUEUE", cls().queue, whole=True)),
            request_timeout=_number(environ, "GPFN_REQUEST_TIMEOUT", cls().request_timeout),
            start_window=_number(environ, "GPFN_START_WINDOW", cls().start_window),
        )

    @property
    def threads(self) -> int:
        """The number of worker threads."""
        from gpfn.models.threads import available_cpus

        return self.workers or available_cpus() + 4


def _number(environ: Mapping[str, str], name: str, default: float, *, whole: bool = False) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        number = float(int(text) if whole else text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 86400.0:
        kind = "a whole number" if whole else "seconds"
        raise SetupError(f"expected {kind} from 0 to 86400, got {text!r}", field=name)
    return number
