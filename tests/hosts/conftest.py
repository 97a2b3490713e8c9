"""Functions to invoke."""

from pathlib import Path

import pytest

__all__ = ["echo", "failing"]

ECHO = """
import os
from gpfn import Function, Payload


def echo(payload):
    greeting = os.environ.get("GREETING", "")
    if payload.header("x-greet"):
        return greeting + payload.header("x-greet")
    return Payload(payload.data, payload.media_type)


function = Function(echo, takes="payload")
handler = function.fn
main = function.openwhisk
app = function.asgi
"""

YAML = """\
entrypoint: /python/bin/fdk /function/func.py handler
timeout: 5
config:
  GREETING: "hello "
"""


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    """A function that answers with what it was sent."""
    (tmp_path / "func.py").write_text(ECHO)
    (tmp_path / "func.yaml").write_text(YAML)
    return tmp_path


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """A function that is the caller's fault, or its own, as the body asks."""
    source = """
import sys, time
from gpfn import Function
from gpfn.errors import InvalidTensor

def fail(payload):
    if payload.data == b"ours":
        raise KeyError("secret")
    if payload.data == b"die":
        import os
        os._exit(9)
    if payload.data == b"sleep":
        time.sleep(30)
    raise InvalidTensor("expected 20 numbers", field="data")

function = Function(fail, takes="payload")
handler = function.fn
main = function.openwhisk
app = function.asgi
"""
    (tmp_path / "func.py").write_text(source)
    return tmp_path
