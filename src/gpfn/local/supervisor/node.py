"""Actions of Node.js, by the ``node`` of this machine.

The kit is for Python. But the first action of many a tutorial is JavaScript, and wskdebug puts
one in the place of the action that it debugs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gpfn.local.supervisor.failure import ProcessFailure

__all__ = ["node_environ", "node_words"]

_PROGRAM = Path(__file__).with_name("node_action.cjs")
_MISSING = "gpfn dev runs actions of Node.js by the program node, and there is none in PATH"


def node_words(port: int) -> list[str]:
    """Return what starts an action of Node.js. Raises ProcessFailure without a ``node``."""
    node = shutil.which("node")
    if node is None:
        raise ProcessFailure("start failed", _MISSING)
    return [node, str(_PROGRAM), str(port)]


def node_environ() -> Iterator[tuple[str, str]]:
    """Yield where packages are; the platform's own image has ``openwhisk`` among them."""
    if "NODE_PATH" in os.environ:
        yield "NODE_PATH", os.environ["NODE_PATH"]
