"""Run recorded calls in this interpreter: the Python of a client's own environment.

Reads one call as a line of JSON, a text of Python, and writes one line about it: what it
printed, and what it raised.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import sys
import warnings

__all__ = ["call", "main"]


def call(command: str) -> dict[str, str]:
    """Run a command, which may await at the top."""
    names: dict[str, object] = {"__name__": "__call__"}
    printed, raised = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            code = compile(command, "<call>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waiting = eval(code, names)
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(waiting)
        except Exception as error:
            kind = type(error)
            place = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            raised = f"{place}{kind.__qualname__}: {error}"
    return {"stdout": printed.getvalue(), "raised": raised}


def main() -> int:
    """Answer calls until there are no more."""
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(call(json.loads(line))), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
