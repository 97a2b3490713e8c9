"""The same from a shell: the commands of the console, run as they stand against a real server."""

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.conftest import ROOT
from tests.local.dev_process import Answered, DevProcess, ask, dev

CODE = """\
import hashlib


def handler(ctx, data=None):
    if ctx.Config().get("TELLS"):
        return {"line": f"{ctx.Method()} {ctx.RequestURL()}", "n": len(data.getvalue())}
    return {"seen": hashlib.sha256(data.getvalue()).hexdigest()}


def main(args):
    seen = {name: value for name, value in args.items() if name[:2] != "__"}
    return {"body": {"seen": seen}, "method": args.get("__ow_method")}
"""
ODD = "/q?x=1%20#y z"
LARGE = b"\xff\xd8\xff" + bytes(range(256)) * 40
EVENT = json.dumps({"a": 'it\'s "$HOME" `id` \u202e\u05d0', "b": [1, 2]}, ensure_ascii=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProcess]:
    folder = tmp_path_factory.mktemp("functions")
    sees = "config: {GPFN_MAX_BODY_BYTES: '8000000'}\n"
    sees += "triggers:\n- {name: sees, type: http, source: /sees}\n"
    tells = f"config: {{TELLS: yes}}\ntriggers:\n- {{name: a, type: http, source: '{ODD}'}}\n"
    tells += "- {name: b, type: http, source: /tells}\n"
    for name, more in (("sees", sees), ("tells", tells)):
        (folder / name).mkdir()
        (folder / name / "func.yaml").write_text(f"name: {name}\n{more}")
        (folder / name / "func.py").write_text(CODE)
    with dev(folder, "--app", "demo", "--memory") as run:
        yield run


def lines(run: DevProcess) -> dict[str, str]:
    """Return what the console says of the newest call, by the program."""
    text = run.get(f"{run.fn}/ui/", Accept="text/html").body.decode()
    shell = text.split("The same from a shell")[1].split("</details>")[0]
    found = re.findall(r'muted">(\w+)<button.*?<pre [^>]*>(.*?)</pre>', shell, re.DOTALL)
    return {program: unescape(line) for program, line in found}


def typed(line: str, folder: Path, program: str = "") -> bytes:
    """Return what a shell prints for a line; ``program`` is a script in the place of wsk."""
    gpfn = folder / "gpfn"
    gpfn.write_text(f'#!/bin/sh\nexec {sys.executable} -m gpfn "$@"\n')
    (folder / "wsk").write_text(f"#!/bin/sh\n{program}\n")
    for file in (gpfn, folder / "wsk"):
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    path = f"{folder}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "HOME": str(folder)}
    command = ["bash", "-c", line]
    ran = subprocess.run(
        command, check=False, capture_output=True, env=environ, cwd=folder, timeout=60
    )
    assert ran.returncode == 0, (line, ran)
    return ran.stdout


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", EVENT.encode()),
        ("text/plain", b"- 100 % \\n 'x'\n"),
        ("image/jpeg", LARGE),
        ("text/plain", b"\xff\xfe"),
        ("text/plain", b""),
    ],
)
def test_a_call_of_fn_is_made_again(
    run: DevProcess, tmp_path: Path, kind: str, body: bytes
) -> None:
    given = {"Content-Type": kind}
    ways = {f"{run.fn}/t/demo/sees": {"curl", "gpfn"}, run.endpoint("sees"): {"fn", "curl", "gpfn"}}
    for way, programs in ways.items():
        first: Answered = run.post(way, body, **given)
        assert first.json() == {"seen": hashlib.sha256(body).hexdigest()}
        found = lines(run)
        assert found.keys() == programs
        for program in ("curl", "gpfn"):
            got = json.loads(typed(found[program], tmp_path))
            if b"\xe2\x80\xae" in body:  # what would not be seen is written out: the same JSON
                assert found[program].count("\\u202e") == 1
                assert "\u202e" not in found[program]
                seen = hashlib.sha256(body.replace(b"\xe2\x80\xae", b"\\u202e")).hexdigest()
                assert got == {"seen": seen}
            else:
                assert got == first.json(), found[program]


@pytest.mark.parametrize("body", [EVENT.encode(), b"{}", json.dumps({"a": "x" * 9000}).encode()])
def test_a_call_of_openwhisk_is_made_again(run: DevProcess, tmp_path: Path, body: bytes) -> None:
    first = run.activate("sees", body)
    assert first.json()["body"]["seen"] == json.loads(body)
    found = lines(run)
    for program in ("curl", "gpfn"):
        got = json.loads(typed(found[program], tmp_path))
        assert got == first.json(), found[program]
    file = 'while [ "$1" != --param-file ]; do shift; done; cat "$2"'
    assert json.loads(typed(found["wsk"], tmp_path, file)) == json.loads(body)


def test_what_was_not_kept_whole_is_said_to_be_needed(run: DevProcess, tmp_path: Path) -> None:
    body = b"y" * 100_000
    run.post(f"{run.fn}/t/demo/sees", body, **{"Content-Type": "text/plain"})
    text = run.get(f"{run.fn}/ui/", Accept="text/html").body.decode()
    assert "put it in <code>body.bin</code> before" in text
    (tmp_path / "body.bin").write_bytes(body)
    got = json.loads(typed(lines(run)["curl"], tmp_path))
    assert got == {"seen": hashlib.sha256(body).hexdigest()}


def test_a_large_event_is_answered_with_a_warning_in_the_log(run: DevProcess) -> None:
    answer = run.post(f"{run.fn}/t/demo/sees", b"y" * 7_000_000)
    assert answer.status == 200
    told = run.wait_for("call", id=answer.headers["fn-call-id"])["trouble"]
    assert told == ["its event has 7.0 MB; a hosted Fn takes at most 6 MiB"]


def sent_again(run: DevProcess) -> str:
    """Send the newest call again from its page, and return curl's command for that one."""
    text = run.get(f"{run.fn}/ui/", Accept="text/html").body.decode()
    number = re.findall(r'data-call="(\d+)"', text)[0]
    run.events.clear()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    done = run.post(f"{run.fn}/ui/again", f"call={number}".encode(), **form)
    assert done.status == 303, done
    assert run.wait_for("call", caller="console")["status"] == 200
    return lines(run)["curl"]


@pytest.mark.parametrize("body", [None, b"[1]"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "POST"])
@pytest.mark.parametrize(
    "target", ["/t/demo/tells?city=Bern&n=2&a[]={b,c}", f"/t/demo{quote(ODD)}"]
)
def test_a_trigger_is_called_again_as_it_was(
    run: DevProcess, tmp_path: Path, method: str, target: str, body: bytes | None
) -> None:
    first = ask(method, f"{run.fn}{target}", body, {}).json()
    assert first == {"line": f"{method} {run.fn}{target}", "n": len(body or b"")}
    found = lines(run)
    assert found.keys() == ({"curl", "gpfn"} if method == "POST" else {"curl"})
    for line in found.values():
        assert json.loads(typed(line, tmp_path)) == first, line
    ask(method, f"{run.fn}{target}", body, {})
    assert sent_again(run) == found["curl"]


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", b'{"a": 1}')])
def test_a_web_action_is_called_again_as_it_was(
    run: DevProcess, tmp_path: Path, method: str, body: bytes | None
) -> None:
    place = f"{run.openwhisk}/api/v1/web/guest/default/sees.json?city=Bern"
    headers = {"Content-Type": "application/json"} if body else {}
    first = ask(method, place, body, headers)
    assert first.json()["method"] == method.lower()
    assert first.json()["body"]["seen"]["city"] == "Bern"
    found = lines(run)
    assert json.loads(typed(found["curl"], tmp_path)) == first.json(), found
    assert sent_again(run) == found["curl"]


def test_a_head_is_asked_again_by_a_shell_alone(run: DevProcess, tmp_path: Path) -> None:
    assert ask("HEAD", f"{run.fn}/t/demo/tells", None, {}).status == 200
    assert typed(lines(run)["curl"], tmp_path).startswith(b"HTTP/1.1 200 ")
    with pytest.raises(AssertionError, match="a HEAD is not sent from here"):
        sent_again(run)


def test_an_address_that_is_too_long_is_the_usual_one(run: DevProcess, tmp_path: Path) -> None:
    ask("GET", f"{run.fn}/t/demo{quote(ODD)}?{'x' * 3000}", None, {})
    found = lines(run)
    place = f"{run.fn}/t/demo{quote(ODD)}"
    assert json.loads(typed(found["curl"], tmp_path))["line"] == f"POST {place}"


def test_the_form_calls_a_trigger_of_any_source(run: DevProcess) -> None:
    page = run.get(f"{run.fn}/ui/console.json").json()
    (key,) = (one["key"] for one in page["functions"] if one["name"] == "tells")
    fields = urlencode({"function": key, "way": "trigger", "event": "[1]", "times": "1"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert run.post(f"{run.fn}/ui/send", fields.encode(), **form).status == 303
    assert lines(run)["curl"].partition(" -H")[0].count(quote(ODD)) == 1


def test_an_action_with_a_space_is_called_again(run: DevProcess, tmp_path: Path) -> None:
    rest = f"{run.openwhisk}/api/v1/namespaces/_/actions/a%20b"
    given = {"Content-Type": "application/json", "Authorization": run.basic()}
    code = {"exec": {"kind": "python:3", "code": CODE}}
    assert ask("PUT", rest, json.dumps(code).encode(), given).status == 200
    first = run.activate("a%20b", b'{"z": 1}').json()
    found = lines(run)
    for program in ("curl", "gpfn"):
        assert json.loads(typed(found[program], tmp_path)) == first, found[program]
    run.activate("a%20b", b"")  # no parameters are parameters too
    found = lines(run)
    assert found.keys() == {"wsk", "curl", "gpfn"}
    assert sent_again(run) == found["curl"]
