"""One input at a time: it is accepted, refused with an error of ours, or a finding."""

import hashlib
import random
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fuzz.targets import Target
from gpfn.errors import GpfnError

__all__ = ["SECONDS", "Finding", "examine", "mutations"]

SECONDS = 1.0
"""Processor time that one input may take; all of them have a few kilobytes."""

LONGEST = 20_000
_LONGEST_ERROR = 2300
_ODD = (
    *(b"0", b"-1", b"1e999", b"9" * 25, b"18446744073709551616", b"NaN", b"0.5", b"0" * 5000),
    *(b"9" * 5000, b"[" * 5000, b"(" * 5000, b'{"a":' * 3000, b"<" * 5000, b"\x1b[31m", b"\0"),
    *(b"\r\n", b"\r\n\r\n", b"\n", b"%", b"%00", b"\\u0000", b"\\ud800", b"\xff", b"\xef\xbb\xbf"),
)


class Finding(NamedTuple):
    """An input that a parser does not stand: ``kind`` is hang, foreign or wrong."""

    kind: str
    place: str
    text: str
    data: bytes

    def name(self, target: str) -> str:
        """Return the name of a file that keeps the input."""
        return f"{target}-{self.kind}-{hashlib.sha256(self.data).hexdigest()[:12]}"


def examine(target: Target, data: bytes) -> str | Finding:
    """Give a target one input; returns ``accepted``, the type of the error, or a finding."""
    begun = time.thread_time()
    try:
        target.check(data)
        outcome = "accepted"
    except GpfnError as error:
        outcome = error.type
        wrong = _wrong_text(error)
        if wrong:
            return Finding("wrong", type(error).__name__, wrong, data)
    except AssertionError as error:
        return Finding("wrong", _place(error), f"{error}"[:500], data)
    except (Exception, RecursionError) as error:  # noqa: BLE001 - which is what is looked for
        return Finding("foreign", _place(error), f"{type(error).__name__}: {error}"[:500], data)
    spent = time.thread_time() - begun
    if spent > SECONDS:
        return Finding("hang", target.name, f"{spent:.1f} s for {len(data)} bytes", data)
    return outcome


def _wrong_text(error: GpfnError) -> str:
    text = str(error)
    if len(text) > _LONGEST_ERROR:
        return f"an error of {len(text)} characters"
    if not text.replace("\n", "").isprintable():
        return f"an error that is not printable: {text!r:.200}"
    return ""


def _place(error: BaseException) -> str:
    """Return where an exception was raised, in our files if it went through them."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/gpfn/" in frame.filename] or frames
    return f"{ours[-1].filename.rpartition('/src/')[2]}:{ours[-1].lineno}"


def mutations(seeds: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Yield the seeds, then changed and spliced ones without end."""
    yield from seeds
    pool = [seed for seed in seeds if seed] or [b"\0"]
    while True:
        data = bytearray(chance.choice(pool))
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            _change(data, pool, chance)
        yield bytes(data[:LONGEST])


def _change(data: bytearray, pool: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    length = chance.choice((1, 1, 2, 4, 8, 32))
    match chance.randrange(9):
        case 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        case 1:
            data[at : at + length] = b""
        case 2:
            data[at:at] = chance.randbytes(length)
        case 3:
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
        case 4:
            other = chance.choice(pool)
            begin = chance.randrange(len(other))
            data[at : at + length] = other[begin : begin + chance.choice((4, 16, 64, 1000))]
        case 5:
            data[at : at + length] = chance.choice(_ODD)
        case 6:
            value = chance.choice((0, 1, 2, 127, 128, 255, 1 << 16, (1 << 31) - 1, (1 << 32) - 1))
            data[at : at + 4] = value.to_bytes(4, chance.choice(("little", "big")))
        case 7:
            data[at : at + 1] = bytes([(data[at] if at < len(data) else 0) ^ 1 << at % 8])
        case _:
            del data[at:]
