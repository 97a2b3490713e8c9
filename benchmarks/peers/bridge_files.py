"""Events of a file to a function and its answers to another file, in a plain loop.

    python bridge_files.py FUNCTION EVENTS ANSWERS

It waits for SIGTERM when it is through, so that it can be looked at.
"""

import os
import signal
import sys

from gpfn.message import Message
from gpfn.platforms.load import load_function

__all__ = ["main"]

STRUCTURED = "application/cloudevents+json"


def main(function: str, events: str, answers: str) -> None:
    """Answer every line with a line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    loaded = load_function(function)
    loaded.open()
    with open(events, "rb") as lines, open(answers, "ab") as out:
        for line in lines:
            out.write(loaded.answer(Message(line, STRUCTURED)).message.body)
            out.write(b"\n")
        out.flush()
        os.fsync(out.fileno())
        while True:
            signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
