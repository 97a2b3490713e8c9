"""What commands print: printable whatever stands in it, and told when it cannot be written.

Names in models, replies, reason phrases and logs are other people's text, and a terminal
obeys what it is sent. So the two streams of a command escape, as JSON does, all that is not
printable but ends of lines and tabs. A disk that is full, a pipe that nobody reads and a
stream that was closed before the start end the command with one line and exit code 1.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["OutputBroken", "command_streams", "terminal_of"]

_KEPT = frozenset("\n\t")


class OutputBroken(OSError):
    """Standard output takes no more; ``strerror`` says why."""


class _Printed:
    """A text stream that escapes; what it lacks is the stream's own."""

    def __init__(self, stream: "TextIO | None", *, told: bool) -> None:
        """``told`` says whether a failure is raised; nobody can be told of one on stderr."""
        self.stream = stream
        self.told = told
        self.failure: OutputBroken | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @property
    def buffer(self) -> "_Raw":
        return _Raw(self)

    def isatty(self) -> bool:
        return self.stream is not None and self.stream.isatty()

    def write(self, text: str) -> int:
        text = text if text.isprintable() else "".join([_escaped(letter) for letter in text])
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.attempt("write", text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        if self.stream is not None:
            self.attempt("flush")

    def attempt(self, method: str, *data: object, raw: bool = False) -> None:
        """Call a method of the stream or of its bytes; a failure is OutputBroken, or nothing."""
        try:
            if self.stream is not None:
                getattr(self.stream.buffer if raw else self.stream, method)(*data)
                return
            failure = OutputBroken(errno.EBADF, os.strerror(errno.EBADF))
        except OSError as error:
            failure = OutputBroken(error.errno, error.strerror)
        self.failure = failure
        if self.told:
            raise failure


class _Raw:
    """The bytes beneath: written as they are, such as an image to a file."""

    def __init__(self, printed: _Printed) -> None:
        self._printed = printed

    def write(self, data: bytes) -> int:
        self._printed.flush()
        self._printed.attempt("write", data, raw=True)
        return len(data)

    def flush(self) -> None:
        self._printed.flush()


def _escaped(letter: str) -> str:
    if letter.isprintable() or letter in _KEPT:
        return letter
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join([f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)])


def terminal_of(stream: "TextIO") -> "TextIO":
    """Return the stream itself, for what moves the cursor and brings its own colours."""
    return stream.stream if isinstance(stream, _Printed) else stream


@contextmanager
def command_streams() -> Iterator[None]:
    """Let what runs inside print through the two streams, and see that all of it is written.

    Raises OutputBroken when not. A stream that broke stays away: Python would flush it once
    more at the end, and trace that.
    """
    before = sys.stdout, sys.stderr
    printed = _Printed(before[0], told=True), _Printed(before[1], told=False)
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", printed)
    try:
        yield
        printed[0].flush()
        if printed[0].failure is not None:  # argparse passes it over
            raise printed[0].failure
    finally:
        printed[1].flush()
        sys.stdout, sys.stderr = (
            None if own.failure else stream for own, stream in zip(printed, before, strict=True)
        )
