"""How a command that failed says so."""

import sys

from gpfn.errors import GpfnError, error_document

__all__ = ["report"]


def report(error: GpfnError, *, as_json: bool, traced: bool = False) -> int:
    """Write one line (or the error document) to stderr and return exit code 1.

    What user code raised underneath is shown with its trace, unless it was ``traced``
    already: that is what has to be fixed.
    """
    cause = error.__cause__
    if cause is not None and not traced and not isinstance(cause, GpfnError | OSError):
        import traceback

        traceback.print_exception(cause)
    if as_json:
        import json

        print(json.dumps(error_document(error)), file=sys.stderr)
    else:
        print(f"gpfn: {' '.join(str(error).split())}", file=sys.stderr)
    return 1
