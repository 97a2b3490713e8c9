"""How far a download is, on stderr: a line that rewrites itself, or one line in a log."""

import sys
import time
from typing import TextIO

__all__ = ["DownloadProgress", "size_text"]

_PAUSE = 0.1


def size_text(count: int) -> str:
    """Return a number of bytes as people read it: ``525.6 kB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.4g} {unit}" if unit != "bytes" else f"{count} bytes"
        size /= 1000
    return f"{size:.4g} GB"


class DownloadProgress:
    """Called by the downloader with a file's name, the bytes so far and in all."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = self._shown = time.monotonic()
        self._first: int | None = None

    def __call__(self, name: str, have: int, total: int | None) -> None:
        """Show it, at most ten times a second, and always the end."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = have, now
        ended = have == total
        if ended or (self._live and now - self._shown >= _PAUSE):
            self._shown = now
            self._write(self._line(name, have, total, now), ended)
        if ended:
            self._first = None

    def _line(self, name: str, have: int, total: int | None, now: float) -> str:
        share = f"{100 * have // total} % of {size_text(total)}" if total else size_text(have)
        came = have - (self._first or 0)
        rate = f"  {size_text(int(came / max(now - self._started, 1e-3)))}/s" if came else ""
        return f"{name}  {share}{rate}"

    def _write(self, line: str, ended: bool) -> None:
        start = "\r\x1b[K" if self._live else ""
        self._stream.write(start + line + ("\n" if ended or not self._live else ""))
        self._stream.flush()
