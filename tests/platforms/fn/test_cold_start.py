"""A start without a model loads nothing that it does not need; benchmarks take the time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.platforms.fn.container import call_bytes, container

FILES = Path(__file__).parent / "files"

COSTLY = {
    "argparse",
    "asyncio",
    "base64",
    "concurrent",
    "dataclasses",
    "datetime",
    "email",
    "http",
    "inspect",
    "json",
    "logging",
    "mmap",
    "numpy",
    "orjson",
    "pathlib",
    "random",
    "socket",
    "tempfile",
    "threading",
    "traceback",
    "urllib",
    "uuid",
    "zoneinfo",
}
"""Modules of which each costs more than 1 % of a cold start."""

FDK_STYLE = """
import sys

def handler(ctx, data=None):
    return " ".join(sys.modules)
"""

FUNCTION = """
import sys
from gpfn import Function, Payload

def listing(payload):
    return Payload(" ".join(sys.modules).encode(), "text/plain")

handler = Function(listing, takes="payload").fn
"""


COMPILED = """
import sys

found = []
sys.addaudithook(lambda event, args: event == "compile" and found.append(args))
import gpfn.platforms.fn.adapter
import gpfn.platforms.fn.fdk
import gpfn.platforms.fn.runner
import gpfn.function.function
for source, file in found:
    if file == "<string>" and not source.startswith(b"lambda _cls"):
        print(source)
"""
"""Named tuples with annotations in quotes (or postponed) compile each: 1 ms for the first."""


def test_no_annotation_is_compiled_at_the_start() -> None:
    run = subprocess.run([sys.executable, "-c", COMPILED], check=True, capture_output=True)
    assert run.stdout == b""


def loaded(source: str, folder: Path) -> set[str]:
    """Return the modules that are loaded at the first reply, beside those of a bare start."""
    file = folder / "func.py"
    file.write_text(source)
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    with container(file) as running:
        body = running.call(call_bytes(b"x")).body.decode()
    return set(body.split()) - set(bare.stdout.split())


@pytest.mark.parametrize("source", [FDK_STYLE, FUNCTION], ids=["fdk style", "function"])
def test_what_the_first_reply_has_loaded(source: str, tmp_path: Path) -> None:
    modules = loaded(source, tmp_path)
    assert "gpfn.platforms.fn.server" in modules
    assert {name.partition(".")[0] for name in modules} & COSTLY == set()
    assert not any(name.startswith(("gpfn.models", "gpfn.graphpipe")) for name in modules)
    ours = [name for name in modules if name.startswith("gpfn")]
    assert len(ours) < 45, sorted(ours)  # each costs 0.1 ms to find and read
