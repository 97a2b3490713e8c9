"""How far a download is, on stderr: a bar on a terminal, a line for each file in a log."""

import atexit
import sys
import time
from typing import TYPE_CHECKING, TextIO

from gpfn.cli.table import terminal_console
from gpfn.errors import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["DownloadProgress", "size_text"]


def size_text(count: int) -> str:
    """Return a number of bytes as people read it: ``525.6 kB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.4g} {unit}" if unit != "bytes" else f"{count} bytes"
        size /= 1000
    return f"{size:.4g} GB"


class DownloadProgress:
    """Called by the downloader with a file's name, the bytes so far and the bytes in all.

    The bytes in all may be None; a file has come when they are equal to those so far.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: _Bar | None = None
        self._started: tuple[float, int] | None = None

    def __call__(self, name: str, have: int, total: int | None) -> None:
        """Show it on a terminal; elsewhere write a line when the file has come."""
        console = terminal_console(self._stream)
        if console is not None:
            self._bar = self._bar or _Bar(console, name, have, total)
            self._bar.show(have, total)
            self._bar = None if have == total else self._bar
            return
        self._started = self._started or (time.monotonic(), have)
        if have == total:
            self._stream.write(self._line(name, have, *self._started))
            self._stream.flush()
            self._started = None

    def _line(self, name: str, size: int, began: float, had: int) -> str:
        came, seconds = size - had, max(time.monotonic() - began, 1e-3)
        rate = f"  {size_text(int(came / seconds))}/s" if came else ""
        return f"{name}  100 % of {size_text(size)}{rate}\n"


class _Bar:
    """The bar of one file. It ends with the file, or with the process if that never comes."""

    def __init__(self, console: "Console", name: str, have: int, total: int | None) -> None:
        self._progress = _progress(console)
        self._task = self._progress.add_task(escaped(name), completed=have, total=total)
        self._progress.start()
        atexit.register(self._progress.stop)  # shows the cursor again

    def show(self, have: int, total: int | None) -> None:
        self._progress.update(self._task, completed=have, total=total)
        if have == total:
            self._progress.stop()
            atexit.unregister(self._progress.stop)


def _progress(console: "Console") -> "Progress":
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
    )
