"""A command on a pseudo-terminal."""

import os
import pty
import subprocess
import sys

__all__ = ["on_a_terminal"]


def on_a_terminal(*words: str, **environ: str) -> str:
    """Run ``gpfn`` until it ends with 0, and return what a terminal of 80 columns shows of it."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "gpfn", *words],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **environ},
        check=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # nobody writes there any more
        os.close(ours)
    return shown.decode()
