"""``gpfn certify`` as a user types it."""

import json
import subprocess
import sys

import pytest

from gpfn.certify.subject import parse_subject
from tests.certify.subjects import GPFN, HERE


def gpfn(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [GPFN, "certify", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_prints_a_table_and_exits_by_the_result() -> None:
    run = gpfn("gpfn run openwhisk", "--only", "A4,C1")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("pass  A4   a second /init")
    assert lines[0].endswith("BasicActionRunnerTests:191")
    assert lines[2].strip() == "the server brings no code of its own"
    assert lines[-1] == "1 pass, 0 fail, 0 stricter, 1 not applicable"
    run = gpfn(f"{sys.executable} {HERE / 'broken_framing.py'}", "--only", "F1")
    assert run.returncode == 1
    assert "FAIL  F1" in run.stdout


def test_the_command_prints_json() -> None:
    run = gpfn(
        f"{sys.executable} {HERE / 'broken_fn.py'}", "--suite", "fn", "--only", "L", "--json"
    )
    assert run.returncode == 1
    told = json.loads(run.stdout)
    assert (told["suite"], told["passed"]) == ("fn", False)
    found = {check["id"]: check for check in told["checks"]}
    assert found["L4"]["result"] == "fail"
    keys = {"id", "title", "source", "result", "reason", "seconds", "stricter"}
    assert keys == set(found["L1"])


def test_what_is_stricter_than_the_platform_is_no_failure_unless_asked_for() -> None:
    subject = f"{sys.executable} {HERE / 'as_stock.py'}"
    run = gpfn(subject, "--only", "F3,F9")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("more  F3   a deadline that is a number")
    assert lines[2].strip() == "stricter than the platform, whose own runtime ends over it"
    assert lines[-1] == "1 pass, 0 fail, 1 stricter, 0 not applicable"
    told = json.loads(gpfn(subject, "--only", "F3", "--json").stdout)
    assert told["passed"] is True
    assert told["checks"][0]["result"] == "stricter"
    asked = gpfn(subject, "--only", "F3", "--strict")
    assert asked.returncode == 1
    assert "FAIL  F3" in asked.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["absent-command --x"], 1, "subject: no such command: absent-command"),
        (["'"], 1, "subject: cannot be split"),
        ([""], 1, "subject: expected a URL, a command or an image"),
        (["true", "--only", "Z"], 2, "there is no check Z"),
        (["true", "--suite", "aws"], 2, "--suite"),
        (["true", "--timeout", "-1"], 2, "--timeout"),
    ],
)
def test_wrong_usage(words: list[str], code: int, says: str) -> None:
    run = gpfn(*words)
    assert run.returncode == code
    assert says in run.stderr


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("http://127.0.0.1:8080", "url"),
        ("unix:/tmp/x", "url"),
        ("docker:me/f:1", "image"),
        ("me/f:1", "image"),
        ("gpfn run openwhisk", "command"),
        ("sh -c 'sleep 1'", "command"),
    ],
)
def test_subjects(text: str, kind: str) -> None:
    subject = parse_subject(text)
    assert subject.kind == kind
    if text.startswith("sh"):
        assert subject.words[1:] == ("-c", "sleep 1")
    if text.startswith("docker:"):
        assert subject.text == "me/f:1"
