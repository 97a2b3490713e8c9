"""What ``gpfn score`` shows: a bar on a terminal while it runs, and a line for each file."""

import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from gpfn.cli.table import terminal_console
from gpfn.errors import escaped

if TYPE_CHECKING:
    from gpfn.data.scoring import FileReport, ScoreJob
    from gpfn.data.seam import Extent

__all__ = ["ScoreScreen", "count_text"]


def count_text(number: float) -> str:
    """Return a number of rows as people read it.

    >>> count_text(999), count_text(45_600), count_text(12_345_678)
    ('999', '45.6k', '12.3M')
    """
    for unit in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.3g}{unit}" if unit else f"{number:.0f}"
        number /= 1000
    return f"{number:.3g}G"


class ScoreScreen:
    """Follows the files of a run. Progress is told in bytes of the files, of all together.

    With ``quiet`` what is done is not told on standard output, which has JSON then.
    """

    def __init__(
        self, jobs: Sequence["ScoreJob"], *, quiet: bool = False, stream: TextIO | None = None
    ) -> None:
        self._sizes = {job.source: _size(job.source) for job in jobs}
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._shares: dict[str, float] = {}
        self._rows: dict[str, int] = {}
        self._done = 0
        self._noted: set[str] = set()
        self._began = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def follow(self, job: "ScoreJob", rows: int, extent: "Extent") -> None:
        """Note how far a file is."""
        self._shares[job.source] = min(1.0, extent.done / extent.total) if extent.total else 1.0
        self._rows[job.source] = rows
        self._show()

    def done(self, report: "FileReport") -> None:
        """Tell what became of a file."""
        source = report.job.source
        self._done += 1
        self._shares[source] = 1.0
        self._rows[source] = 0 if report.skipped else report.rows
        self._show()
        for note in report.notes:
            if note not in self._noted:
                self._noted.add(note)
                self.note(note)
        if report.error:
            self._tell(f"gpfn: {report.error}", self._stream)
        elif not self._quiet:
            self._tell(_line(report), sys.stdout)
        if report.failed and not report.error:
            told = f"{report.failed} of {report.rows} rows of {source} failed"
            self._tell(f"gpfn: {told}; see {report.job.failed}", self._stream)

    def note(self, line: str) -> None:
        """Tell something that a user should know meanwhile."""
        self._tell(f"gpfn: {line}", self._stream)

    def summary(self, reports: Sequence["FileReport"]) -> None:
        """Tell of all files together, where there are several."""
        if self._quiet or len(self._sizes) < 2:
            return
        new = [report for report in reports if not (report.error or report.skipped)]
        rows, seconds = sum(r.rows for r in new), max(time.monotonic() - self._began, 1e-6)
        failed = sum(bool(report.error) for report in reports)
        parts = [f"{len(new)} files, {rows} rows in {seconds:.1f} s"]
        parts.append(f"{count_text(rows / seconds)} rows/s")
        before = sum(report.skipped for report in reports)
        parts += [f"{before} done before"] * bool(before) + [f"{failed} failed"] * bool(failed)
        print(", ".join(parts))

    def __enter__(self) -> Self:
        console = terminal_console(self._stream)
        if console is not None:
            self._bar = _progress(console)
            self._task = self._bar.add_task("", total=sum(self._sizes.values()) or 1)
            self._bar.start()
            self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self) -> None:
        if self._bar is None:
            return
        read = sum(self._shares.get(name, 0.0) * size for name, size in self._sizes.items())
        rows = sum(self._rows.values())
        rate = rows / max(time.monotonic() - self._began, 1e-6)
        files = f"{self._done}/{len(self._sizes)} files"
        told = f"{files}  {count_text(rows)} rows  {count_text(rate)} rows/s"
        self._bar.update(self._task, completed=read, description=told)

    def _tell(self, line: str, stream: TextIO) -> None:
        """Print a line, above the bar where there is one; names may have line breaks in them."""
        line = escaped(line)
        if self._bar is None:
            print(line, file=stream, flush=True)
        elif stream is sys.stdout and not sys.stdout.isatty():
            print(line, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _line(report: "FileReport") -> str:
    if report.skipped:
        return f"{report.job.target}  {report.rows} rows, done before (--again scores them anew)"
    rate = count_text(report.rows / report.seconds) if report.seconds else "-"
    return f"{report.job.target}  {report.rows} rows  {rate} rows/s"


def _progress(console: Any) -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        Remaining(compact=True),
        console=console,
        transient=True,
    )
