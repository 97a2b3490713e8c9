"""Every parser stands mutated inputs, and the runner tells of one that does not."""

import random
import subprocess
import sys
import time
from pathlib import Path

import fuzz.targets
import pytest
from fuzz.harness import Finding, examine, mutations
from fuzz.targets import TARGETS, Target

from gpfn.errors import InvalidTensor
from tests.conftest import ROOT

SECONDS = 1.0


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_stands_what_it_gets(name: str) -> None:
    """Each target takes one of its seeds at least: else it would check nothing but refusals."""
    target = TARGETS[name]
    seeds = target.seeds()
    assert "accepted" in [examine(target, seed) for seed in seeds]
    until = time.monotonic() + SECONDS
    for data in mutations(seeds, random.Random(name)):
        outcome = examine(target, data)
        assert not isinstance(outcome, Finding), outcome
        if time.monotonic() > until:
            return


@pytest.mark.parametrize("name", TARGETS)
def test_its_modules_are_there(name: str) -> None:
    for module in TARGETS[name].modules:
        assert (ROOT / "src" / f"{module.replace('.', '/')}.py").is_file()


def broken(data: bytes) -> None:
    """A parser with every fault."""
    match data[:1]:
        case b"f":
            raise KeyError(data)
        case b"w":
            assert data == b"", "another value"
        case b"h":
            until = time.thread_time() + 1.1
            while time.thread_time() < until:
                continue
        case b"l":
            raise _long()
        case b"r":
            raise InvalidTensor("no")


def _long() -> InvalidTensor:
    error = InvalidTensor("no")
    error.detail = "x" * 9000
    return error


BROKEN = Target("broken", broken, ("gpfn.errors",), lambda: [b"accepted"])


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"f", "foreign"), (b"w", "wrong"), (b"h", "hang"), (b"l", "wrong"), (b"r", "invalid-tensor")],
)
def test_what_is_found(data: bytes, expected: str) -> None:
    outcome = examine(BROKEN, data)
    assert (outcome.kind if isinstance(outcome, Finding) else outcome) == expected


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("raise KeyError(data)", "foreign"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crash"),
    ],
)
def test_the_runner_keeps_findings_and_fails(body: str, kind: str, tmp_path: Path) -> None:
    """A copy of the runner whose last target is broken."""
    for file in Path(fuzz.targets.__file__).parent.glob("*.py"):
        (tmp_path / "fuzz").mkdir(exist_ok=True)
        (tmp_path / "fuzz" / file.name).write_text(file.read_text())
    with (tmp_path / "fuzz" / "targets.py").open("a") as targets:
        targets.write(f"\n\ndef _bad(data):\n    if data != b'good':\n        {body}\n")
        row = 'Target("bad", _bad, ("gpfn.errors",), lambda: [b"good"])'
        targets.write(f'\n\nTARGETS = {{"bad": {row}}}\n')
    for name in ("ce_samples", "models", "functions", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = [sys.executable, "fuzz/run.py", "--plain", "--seconds", "0.5", "bad"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stderr
    head, row = done.stdout.splitlines()[-2:]
    assert dict(zip(head.split(), row.split(), strict=False))["target"] == "bad"
    found = list((tmp_path / "fuzz" / "findings").iterdir())
    assert [path.name.split("-")[:2] for path in found] == [["bad", kind]]
    assert found[0].read_bytes() != b"good"


def test_the_runner_says_what_targets_there_are() -> None:
    command = [sys.executable, "fuzz/run.py", "nosuch"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "no target nosuch; there are graphpipe-request, " in done.stdout
