"""Deploying to a real ``gpfn dev`` and calling it there, by ``gpfn`` alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.serving import clean_environ
from tests.conftest import ROOT
from tests.local.dev_process import DevProcess, dev

SOURCE = """\
import os

from gpfn import Function, Payload


def answer(payload):
    if payload.data == b"bad":
        raise ValueError("nothing to see")
    print("seen", len(payload.data), flush=True)
    told = {"n": len(payload.data), "type": payload.media_type, "level": os.environ.get("LEVEL")}
    return {**told, "mark": payload.header("x-mark")}


handler = Function(answer, takes="payload").fn
main = Function(answer, takes="payload").openwhisk
"""
YAML = """\
name: told
version: 0.0.1
memory: 256
timeout: 20
config: {LEVEL: debug}
triggers: [{name: told, type: http, source: /told}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("functions") / "told"
    made.mkdir()
    (made / "func.py").write_text(SOURCE)
    (made / "func.yaml").write_text(YAML)
    return made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[DevProcess]:
    with dev(folder.parent, "--memory", "--app", "demo") as process:
        yield process


def gpfn(*words: str, stdin: bytes = b"", **environ: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "gpfn", *words],
        input=stdin,
        capture_output=True,
        timeout=120,
        env=clean_environ(PYTHONPATH=str(ROOT / "src"), **environ),
        check=False,
    )


def shown(run: "subprocess.CompletedProcess[bytes]") -> dict[str, object]:
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


def written(report: dict[str, object]) -> list[dict[str, str]]:
    """Return what a deployment says that it wrote."""
    found = report["done"]
    assert isinstance(found, list)
    return found


def test_fn(running: DevProcess, folder: Path) -> None:
    deploy = ("deploy", "fn", str(folder), "--at", running.fn, "--app", "other", "--json")
    refused = gpfn(*deploy)
    assert refused.returncode == 1
    assert b"no app other; --create-app makes it" in refused.stderr
    made, again = shown(gpfn(*deploy, "--create-app")), shown(gpfn(*deploy, "--create-app"))
    first, second = written(made), written(again)
    kinds = [(one["verb"], one["kind"]) for one in first]
    assert kinds == [("create", "app"), ("create", "function"), ("create", "trigger")]
    verbs = [(one["verb"], one["kind"]) for one in second]
    assert verbs == [("update", "function"), ("update", "trigger")]
    assert [one["url"] for one in first[1:]] == [one["url"] for one in second], "ids are stable"
    invoke = ("invoke", "--at", running.fn, "other/told")
    told = {"n": 2, "type": "text/plain", "level": "debug", "mark": None}
    assert shown(gpfn(*invoke, stdin=b"hi")) == told
    header = ("--header", "X-Mark: 7", "--as-trigger")
    assert shown(gpfn(*invoke, *header, stdin=b"hi")) == {**told, "mark": "7"}
    assert shown(gpfn("invoke", "--at", first[2]["url"], stdin=b"hey")) == {**told, "n": 3}


def test_a_trigger_that_has_moved_is_told_where_it_is(running: DevProcess, tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(SOURCE)
    deploy = ("deploy", "fn", str(tmp_path), "--at", running.fn, "--app", "moving", "--json")
    for source in ("/before", "/after"):
        (tmp_path / "func.yaml").write_text(YAML.replace("/told", source))
        url = written(shown(gpfn(*deploy, "--create-app")))[-1]["url"]
        assert urlsplit(url).path == f"/t/moving{source}"
        assert shown(gpfn("invoke", "--at", url, stdin=b"hi"))["n"] == 2


def test_a_function_that_fails_there_fails_here(running: DevProcess) -> None:
    run = gpfn("invoke", "--at", running.fn, "demo/told", "--json", stdin=b"bad")
    assert run.returncode == 1
    assert b"nothing to see" not in run.stdout + run.stderr


def test_openwhisk(running: DevProcess, folder: Path) -> None:
    key = {"WHISK_AUTH": running.auth, "WHISK_APIHOST": running.openwhisk}
    deploy = ("deploy", "openwhisk", str(folder), "--package", "pk", "--web", "raw", "--json")
    made = shown(gpfn(*deploy, **key))
    assert urlsplit(written(made)[1]["url"]).path == "/api/v1/web/guest/pk/told"
    invoke = ("invoke", "--at", running.openwhisk, "--platform", "openwhisk", "pk/told")
    run = gpfn(*invoke, "-p", "a", "1", "--logs", **key)
    assert shown(run)["level"] == "debug"
    assert b"stdout: seen" in run.stderr
    picture = gpfn(*invoke, "--content-type", "image/png", stdin=b"\x89PNG", **key)
    assert shown(picture) == {"n": 4, "type": "image/png", "level": "debug", "mark": None}


def test_an_actions_code_goes_along(running: DevProcess, folder: Path) -> None:
    where = ("--at", running.openwhisk, "--auth", running.auth)
    deploy = ("deploy", "openwhisk", str(folder), *where, "--code", "--name", "coded")
    run = gpfn(*deploy)
    assert (run.returncode, run.stdout) == (0, b"created action coded\n"), run.stderr
    invoke = ("invoke", *where, "--platform", "openwhisk", "coded")
    assert shown(gpfn(*invoke, stdin=b"{}"))["level"] == "debug"


def test_a_wrong_key_is_refused(running: DevProcess, folder: Path) -> None:
    where = ("--at", running.openwhisk, "--auth", "some-user:wrong-key-not-to-be-seen")
    run = gpfn("deploy", "openwhisk", str(folder), *where)
    assert run.returncode == 1
    assert b"(401); the key is that of --auth" in run.stderr
    assert b"not-to-be-seen" not in run.stderr
