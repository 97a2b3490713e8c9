"""The log of an activation as the platform stores it: time, stream and text in one line.

Source: DockerToActivationLogStore.scala. Times have nine digits behind the point, as those of
a container's log; a line of the platform's own has what its clock tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring

__all__ = ["log_line", "log_lines"]

_INCOMPLETE = "The action did not initialize or run as expected. Log data might be missing."
_AROUND = len(r'{"log":\n,"stream":"stdout","time":"2026-11-29T18:06:45.123456789Z"}') + 1
_CUT = "Logs were truncated because the total bytes size exceeds the limit of {} bytes."


def log_line(seconds: float, stream: str, text: str) -> str:
    """Return a line; ``seconds`` since the epoch."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z {stream}: {text}"


def log_lines(
    log: Iterable[tuple[float, str, str]], megabytes: int, now: float, *, failed: bool
) -> Sequence[str]:
    """Return the lines of a call within its action's limit; none at all when that is 0.

    The limit is of the lines as Docker keeps them and the invoker reads them: each as an object
    of JSON with its stream and its time (DockerContainer.scala). ``failed`` says that it was a
    developer error: then something may be missing.
    """
    if megabytes == 0:
        return ()
    lines, limit = [], megabytes << 20
    left = limit
    for seconds, stream, text in log:
        left -= len(encode_basestring(text).encode("utf-8", "replace")) + _AROUND
        if left < 0:
            lines.append(log_line(now, "stderr", _CUT.format(limit)))
            break
        lines.append(log_line(seconds, stream, text))
    if failed:
        lines.append(log_line(now, "stderr", _INCOMPLETE))
    return lines
