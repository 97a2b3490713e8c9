"""The ``gpfn`` command: finds the module of a command and runs it.

A container starts ``gpfn run fn FILE``, and its caller waits for that: this module loads
nothing that the runner does not need, not even argparse.
"""

import os
import sys
from collections.abc import Sequence

from gpfn import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for a failure, 2 for wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    _hold_streams()
    if words[:1] == ["run"] and not {"-h", "--help"}.intersection(words):
        return _guarded(words)  # what the user's code prints goes its own way
    from errno import EPIPE

    from gpfn.cli.output import OutputBroken, command_streams

    try:
        with command_streams():
            return _guarded(words)
    except OutputBroken as error:
        if error.errno != EPIPE:  # its reader has seen enough
            _tell(f"gpfn: cannot write standard output: {error.strerror}\n")
        return 1


def _hold_streams() -> None:
    """Put the null device where a standard stream was closed before the start.

    Its number would go to the next socket or file, and the log would be written into that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _guarded(words: list[str]) -> int:
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from gpfn.cli.commands import report
        from gpfn.errors import GpfnError

        if not isinstance(error, GpfnError):
            raise
        # a runner has logged the trace of what it could not load
        traced, logs = words[:1] == ["run"], words[:1] in (["run"], ["serve"])
        return report(error, as_json="--json" in words, traced=traced, as_record=logs)


def _tell(text: str) -> None:
    try:
        os.write(2, text.encode())
    except OSError:
        return  # nobody can be told of it


def _run(words: list[str]) -> int:
    if words[:2] == ["run", "fn"] and 3 <= len(words) <= 4 and not _has_option(words):
        from gpfn.platforms.fn.runner import main as serve

        return serve(*words[2:])
    if words[:2] == ["run", "openwhisk"] and len(words) <= 4 and not _has_option(words):
        from gpfn.platforms.openwhisk.runner import main as serve_action

        return serve_action(*words[2:])
    if words[:1] in (["--version"], ["-V"]):
        print(f"gpfn {__version__}")
        return 0
    from gpfn.cli.commands import dispatch

    return dispatch(words)


def _has_option(words: list[str]) -> bool:
    return any(word.startswith("-") for word in words)


if __name__ == "__main__":
    sys.exit(main())
