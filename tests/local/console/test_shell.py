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

import pytest

from tests.conftest import ROOT
from tests.local.dev_process import Answered, DevProcess, dev

CODE = """\
import hashlib


def handler(ctx, data=None):
    return {"seen": hashlib.sha256(data.getvalue()).hexdigest()}


def main(args):
    return {"body": {"seen": {name: value for name, value in args.items() if name[:2] != "__"}}}
"""
LARGE = b"\xff\xd8\xff" + bytes(range(256)) * 40
EVENT = json.dumps({"a": 'it\'s "$HOME" `id` \u202e\u05d0', "b": [1, 2]}, ensure_ascii=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProcess]:
    folder = tmp_path_factory.mktemp("functions") / "sees"
    folder.mkdir()
    source = "triggers:\n- {name: sees, type: http, source: /sees}\n"
    (folder / "func.yaml").write_text(f"name: sees\n{source}")
    (folder / "func.py").write_text(CODE)
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
    for way in (f"{run.fn}/t/demo/sees", run.endpoint("sees")):
        first: Answered = run.post(way, body, **given)
        assert first.json() == {"seen": hashlib.sha256(body).hexdigest()}
        found = lines(run)
        assert found.keys() == {"fn", "curl", "gpfn"}
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
