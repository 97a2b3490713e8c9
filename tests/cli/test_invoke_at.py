"""``gpfn invoke --at``: a function on a server, with the options that a local one takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.serving import clean_environ
from tests.conftest import ROOT
from tests.replayed import Answer, Replayed, exchanges, replayed

KEY = "guest-user:guest-password-not-to-be-seen"
ECHO = "echo hi | fn invoke models echo2"


def invoke(*words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "gpfn", "invoke", *words],
        input=stdin,
        capture_output=True,
        timeout=60,
        cwd=ROOT,
        env=clean_environ(PYTHONPATH=str(ROOT / "src")),
        check=False,
    )


def last_body(server: Replayed) -> object:
    return json.loads(server.asked[-1].body)


def test_standard_input_goes_to_a_function(shared: Path) -> None:
    recorded = exchanges(shared / "reference" / "wire" / "fn.jsonl", ECHO)
    with replayed(recorded) as server:
        run = invoke("--at", server.url, "models/echo2", "--timings", stdin=b"hi\n")
    assert (run.returncode, server.asked[-1].body) == (0, b"hi\n")
    assert json.loads(run.stdout)["n"] == 3
    assert b"first call" in run.stderr


def test_rows_parameters_and_repeats(shared: Path) -> None:
    recorded = exchanges(shared / "reference" / "wire" / "fn.jsonl", ECHO)
    for words, body in (
        (("--row", "a=1", "b=two"), {"a": 1, "b": "two"}),
        (("-p", "n", "1", "-p", "s", "text"), {"n": 1, "s": "text"}),
        (("--text", "a", "--text", "b"), ["a", "b"]),
    ):
        with replayed([*recorded, recorded[-1]]) as server:
            run = invoke("--at", server.url, "models/echo2", *words, "--repeat", "2", "--json")
        assert run.returncode == 0, run.stderr
        assert last_body(server) == body
        shown = json.loads(run.stdout)
        assert shown["timings"]["calls"] == 2
        assert shown["call_id"]


def test_a_row_is_made_for_what_the_same_function_here_takes(shared: Path) -> None:
    recorded = exchanges(shared / "reference" / "wire" / "fn.jsonl", ECHO)
    with replayed(recorded) as server:
        where = ("--at", server.url, "models/echo2", "--like", "functions/add")
        run = invoke(*where, "--row", "a=1", "b=2", "--row", "a=3", "b=4")
    assert run.returncode == 0, run.stderr
    assert last_body(server) == [[1.0, 2.0], [3.0, 4.0]]


def test_an_action_gets_its_photo_and_its_log_is_shown() -> None:
    record = {"activationId": "a" * 32, "logs": ["T stdout: seen"]}
    record |= {"response": {"success": True, "result": {"results": []}}}
    with replayed([Answer(200, json.dumps(record))]) as server:
        where = ("--at", server.url, "--platform", "openwhisk", "--auth", KEY, "digits")
        run = invoke(*where, "--image", "ce_samples/digit-7.png", "-p", "topk", "1", "--logs")
    assert (run.returncode, json.loads(run.stdout)) == (0, {"results": []})
    assert b"T stdout: seen" in run.stderr
    body = last_body(server)
    assert isinstance(body, dict)
    assert (body["topk"], body["image"][:8]) == (1, "iVBORw0K")


def test_a_failure_is_told_and_the_key_is_not() -> None:
    wrong = json.dumps({"error": f"no such key {KEY}", "code": "x"})
    with replayed([Answer(401, wrong)]) as server:
        where = ("--at", server.url, "--platform", "openwhisk", "--auth", KEY, "digits")
        run = invoke(*where, stdin=b"{}")
    assert run.returncode == 1
    assert b"WHISK_AUTH" in run.stderr
    assert b"not-to-be-seen" not in run.stderr + run.stdout


def test_a_502_of_fn_is_a_failure(shared: Path) -> None:
    lists = exchanges(shared / "reference" / "wire" / "fn.jsonl", ECHO)[:2]
    with replayed([*lists, Answer(502, '{"message":"function failed"}')]) as server:
        run = invoke("--at", server.url, "models/echo2")
    assert (run.returncode, run.stdout) == (1, b"")
    assert b"function failed" in run.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "a function is needed, or --at URL"),
        (("f", "--auth", "a:b"), "--auth is for a function at a server"),
        (("f", "--like", "f"), "--like is for a function at a server"),
        (("a/b", "--at", "http://127.0.0.1:1", "--engine", "docker"), "--engine starts one"),
        (("a/b", "--at", "http://127.0.0.1:1", "--auth", "a:b"), "the token is in FN_TOKEN"),
    ],
)
def test_options_that_do_not_go_together(words: tuple[str, ...], told: str) -> None:
    run = invoke(*words)
    assert (run.returncode, run.stdout) == (2, b"")
    assert told in run.stderr.decode()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a/b", "--at", "127.0.0.1:1"), "expected http://HOST"),
        (("a/b", "--at", "http://127.0.0.1:1", "--platform", "http"), "fn and openwhisk"),
        (("--at", "http://127.0.0.1:1"), "expected APP/FUNCTION, or --at with an endpoint"),
        (("a/b", "--at", "http://127.0.0.1:1/", "--like", "/nowhere"), "no such function"),
    ],
)
def test_places_that_are_none(words: tuple[str, ...], told: str) -> None:
    run = invoke(*words)
    assert run.returncode == 1
    assert told in run.stderr.decode()
