"""stdout and stderr as OpenWhisk reads them: a sentinel line ends each activation.

The invoker drops any line that holds the sentinel, so text without a line break before
it would be lost; and it stops reading at the sentinel, so all has to be flushed before
the reply goes out. What user code writes to the descriptors behind Python's back (C
libraries, child processes) passes by: only its line breaks are not known here.
"""

import io
import os
import sys
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

__all__ = ["SENTINEL", "Streams"]

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
_END = f"{SENTINEL}\n".encode()


class _Tracked(io.RawIOBase):
    """Writes to a descriptor and remembers whether the last byte ended a line.

    A log that cannot be written must not cost a call: it is lost without a word.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._mid_line = False
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = allocate_lock()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "bytes | memoryview", /) -> int:  # type: ignore[override]
        view = memoryview(data).cast("B")
        with self._lock:
            return self._write(view)

    def write_line(self, line: bytes) -> None:
        """Write whole lines, which begin on a line of their own; none is nothing to do."""
        if not line:
            return
        with self._lock:
            rest = b"\n" + line if self._mid_line else line
            while rest:
                rest = rest[self._write(rest) :]

    def _write(self, view: bytes | memoryview) -> int:
        if not view:
            return 0
        try:
            count = os.write(self._descriptor, view)
        except OSError:
            count = len(view)
        self._mid_line = view[count - 1] != 0x0A
        return count


class Streams:
    """The two streams of this process; :meth:`install` puts them where print finds them."""

    def __init__(self, stdout: int = 1, stderr: int = 2) -> None:
        self._raw = (_Tracked(stdout), _Tracked(stderr))
        self._held = [b"", b""]  # lines of the log that go out with what is written next
        self._text = tuple(
            io.TextIOWrapper(
                io.BufferedWriter(raw),  # type: ignore[type-var] # typeshed knows only FileIO
                "utf-8",
                "backslashreplace",
                line_buffering=True,
            )
            for raw in self._raw
        )

    def install(self) -> None:
        """Take the place of sys.stdout and sys.stderr, also of those kept by the interpreter."""
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = self._text  # type: ignore[misc]

    def write(self, data: bytes, failure: bool) -> None:
        """Keep lines of the log until the next flush, or to be written with the sentinel.

        An activation ends right after its log: one system call then does for both.
        """
        self._held[failure] += data

    def say(self, text: str) -> None:
        """Write lines of the runner's own to stderr, behind what was printed until now."""
        line = text.rstrip("\n") + "\n"
        self._held[True] += line.encode("utf-8", "backslashreplace")
        self.flush()

    def flush(self) -> None:
        """Write out what was printed, then what the log holds."""
        self._write(b"")

    def end_activation(self) -> None:
        """Write the sentinel to both streams, each on a line of its own."""
        self._write(_END)

    def _write(self, end: bytes) -> None:
        self._flush_printed()
        held, self._held = self._held, [b"", b""]
        for raw, lines in zip(self._raw, held, strict=True):
            raw.write_line(lines + end)

    def _flush_printed(self) -> None:
        """Write out what is buffered; user code may have closed or replaced a stream."""
        streams: Sequence[TextIO] = self._text
        if (sys.stdout, sys.stderr) != streams:
            streams = (sys.stdout, sys.stderr, *streams)
        for stream in streams:
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                continue  # a stream that user code broke has nothing more to say
