"""stdout and stderr as OpenWhisk reads them: a sentinel line ends each activation.

The invoker drops any line that holds the sentinel, so text without a line break before
it would be lost; and it stops reading at the sentinel, so all has to be flushed before
the reply goes out. What user code writes to the descriptors behind Python's back (C
libraries, child processes) passes by: only its line breaks are not known here.
"""

import io
import os
import sys
from typing import TextIO

__all__ = ["SENTINEL", "Streams"]

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"


class _Tracked(io.RawIOBase):
    """Writes to a descriptor and remembers whether the last byte ended a line."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.mid_line = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: "bytes | memoryview", /) -> int:  # type: ignore[override]
        view = memoryview(data).cast("B")
        count = os.write(self._descriptor, view) if len(view) else 0
        if count:
            self.mid_line = view[count - 1] != 0x0A
        return count


class Streams:
    """The two streams of this process; :meth:`install` puts them where print finds them."""

    def __init__(self, stdout: int = 1, stderr: int = 2) -> None:
        self._raw = (_Tracked(stdout), _Tracked(stderr))
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
        """Take the place of sys.stdout and sys.stderr."""
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = self._text

    @property
    def stderr(self) -> TextIO:
        """Where the runner itself writes."""
        return self._text[1]

    def flush(self) -> None:
        """Write out what is buffered; user code may have closed or replaced a stream."""
        for stream in {sys.stdout, sys.stderr, *self._text}:
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                continue  # a stream that user code broke has nothing more to say

    def end_activation(self) -> None:
        """Write the sentinel to both streams, each on a line of its own."""
        self.flush()
        for raw in self._raw:
            start = "\n" if raw.mid_line else ""
            raw.write(f"{start}{SENTINEL}\n".encode())
