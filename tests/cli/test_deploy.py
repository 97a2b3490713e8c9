"""``gpfn deploy`` as a user types it."""

import json
import shlex
import subprocess
import sys
import zipfile
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest

from tests.cli.serving import clean_environ
from tests.conftest import ROOT
from tests.replayed import Answer, exchanges, replayed

FRESH = "(cd depl && fn deploy --app fresh --create-app --local --no-bump)"
KEY = "guest-user:guest-password-not-to-be-seen"
ABSENT = Answer(404, '{"error": "The requested resource does not exist.", "code": "abc"}')
_UNSET = dict.fromkeys(
    ("FN_API_URL", "FN_TOKEN", "FN_REGISTRY", "WHISK_APIHOST", "WHISK_AUTH", "WSK_CONFIG_FILE"), ""
)
CREATED = Answer(200, '{"namespace": "guest", "name": "digits"}')


def deploy(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gpfn", "deploy", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=clean_environ(**{**_UNSET, "PYTHONPATH": str(ROOT / "src"), **environ}),
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = "name: echo2\nversion: 0.0.2\nmemory: 9000\n"
    text += "triggers: [{name: echo2, type: http, source: /echo2}]\n"
    (tmp_path / "func.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def wire(shared: Path) -> Path:
    return shared / "reference" / "wire" / "fn.jsonl"


def test_each_write_is_told(wire: Path, folder: Path) -> None:
    with replayed(exchanges(wire, FRESH)) as server:
        run = deploy("fn", str(folder), "--app", "fresh", "--create-app", FN_API_URL=server.url)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "created app fresh",
        f"created function echo2: {server.url}/invoke/01M7YJBDXSR00040J6M000001N",
        f"created trigger echo2: {server.url}/t/fresh/echo2",
    ]
    assert "9000 MB is outside of Fn's 1 to 8192; 8192 is sent" in run.stderr
    assert json.loads(server.asked[3].body)["memory"] == 8192


def test_as_json(wire: Path, folder: Path) -> None:
    with replayed(exchanges(wire, FRESH)) as server:
        words = ("fn", str(folder), "--app", "fresh", "--create-app", "--at", server.url, "--json")
        run = deploy(*words)
    shown = json.loads(run.stdout)
    assert (shown["platform"], shown["at"]) == ("fn", server.url)
    assert [one["kind"] for one in shown["done"]] == ["app", "function", "trigger"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_hides_nothing_that_was_done(wire: Path, folder: Path, *, as_json: bool) -> None:
    refused = Answer(401, '{"message": "bad token t0ken-not-to-be-seen"}')
    with replayed([*exchanges(wire, FRESH)[:-2], refused]) as server:
        words = ["fn", str(folder), "--app", "fresh", "--create-app", "--at", server.url]
        run = deploy(*words, *(["--json"] if as_json else []), FN_TOKEN="t0ken-not-to-be-seen")
    assert run.returncode == 1
    assert "done before what failed: created app fresh, created function echo2" in run.stderr
    assert "FN_TOKEN has to hold a token that it takes" in run.stderr
    assert "not-to-be-seen" not in run.stdout + run.stderr
    assert server.asked[0].headers["authorization"] == "Bearer t0ken-not-to-be-seen"
    if as_json:
        shown = json.loads(run.stdout)
        assert [one["name"] for one in shown["done"]] == ["fresh", "echo2"]
        assert shown["error"]["type"] == "setup-error"


def test_a_dry_run_writes_nothing(wire: Path, folder: Path) -> None:
    with replayed(exchanges(wire, FRESH)[:1] * 2) as server:
        words = ("fn", str(folder), "--app", "fresh", "--create-app", "--at", server.url)
        run = deploy(*words, "--dry-run")
    assert [one.method for one in server.asked] == ["GET", "GET"]
    assert [shlex.split(line)[:3] for line in run.stdout.splitlines()] == [
        ["export", f"FN_API_URL={server.url}"],
        ["fn", "create", "app"],
        ["fn", "create", "function"],
        ["fn", "create", "trigger"],
    ]


def test_a_dry_run_without_a_server(folder: Path) -> None:
    words = ("fn", str(folder), "--app", "a", "--create-app", "--at", "http://127.0.0.1:9")
    run = deploy(*words, "--dry-run", "--json", FN_REGISTRY="registry.test/me")
    assert run.returncode == 0, run.stderr
    assert "these are the commands for a server without anything" in run.stderr
    assert json.loads(run.stdout)["commands"][2].endswith("a echo2 registry.test/me/echo2:0.0.2")


def test_an_action_of_an_image_and_of_code() -> None:
    with replayed([ABSENT, CREATED] * 2) as server:
        where = ("--at", server.url, "--auth", KEY)
        run = deploy("openwhisk", "functions/digits", *where, "--web", "raw")
        code = deploy("openwhisk", "functions/digits", *where, "--code", "--name", "other")
    assert (run.returncode, code.returncode) == (0, 0), run.stderr + code.stderr
    place = f"{server.url}/api/v1/web/guest/default/digits"
    assert run.stdout == f"created action digits: {place}\n"
    image, packed = (json.loads(server.asked[index].body) for index in (1, 3))
    assert image["exec"] == {"kind": "blackbox", "image": "digits-openwhisk:0.0.1"}
    assert image["limits"] == {"timeout": 30000, "memory": 128}
    assert packed["exec"]["kind"] == "python:3.11"
    names = zipfile.ZipFile(BytesIO(b64decode(packed["exec"]["code"]))).namelist()
    assert {"__main__.py", "requirements.txt"} <= set(names)


def test_the_commands_for_wsk_need_no_key() -> None:
    words = ("openwhisk", "functions/digits", "--at", "http://127.0.0.1:9", "--code")
    run = deploy(*words, "--package", "pk", "--dry-run")
    assert run.returncode == 0, run.stderr
    assert "gpfn package openwhisk functions/digits -o digits.zip" in run.stdout
    assert "wsk action update pk/digits digits.zip --kind python:3.11" in run.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("fn",), 2, "required: FOLDER"),
        (("knative", "f"), 2, "invalid choice"),
        (("fn", "a", "b", "--image", "x:1"), 2, "--image is for one FOLDER"),
        (("openwhisk", "a", "b", "--name", "x"), 2, "--name is for one FOLDER"),
        (("openwhisk", "a", "--with-deps"), 2, "--with-deps is for --code"),
        (("fn", "functions/forecast"), 1, "which app? give --app APP"),
        (("fn", "functions"), 1, "no function there"),
        (("openwhisk", "functions/digits"), 1, "no host: give --at URL"),
        (("openwhisk", "functions/digits", "--at", "x.test"), 1, "no key: give --auth KEY"),
        (("openwhisk", "functions/digits", "--at", "http://h", "--auth", "k"), 1, "USER:PASSWORD"),
        (("fn", "functions/forecast", "--app", "a", "--at", "ftp://x"), 1, "expected http://HOST"),
    ],
)
def test_what_cannot_be_done(words: tuple[str, ...], code: int, told: str, tmp_path: Path) -> None:
    run = deploy(*words, HOME=str(tmp_path))
    assert run.returncode == code
    assert told in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    ("platform", "option"),
    [("fn", "--image"), ("fn", "--at"), ("fn", "--app"), ("openwhisk", "--image"),
     ("openwhisk", "--auth"), ("openwhisk", "--package")],
)  # fmt: skip
def test_an_empty_option_is_not_passed_over(folder: Path, platform: str, option: str) -> None:
    """A shell's variable that nobody has set: another image would be deployed, or elsewhere."""
    app = () if platform == "openwhisk" or option == "--app" else ("--app", "a")
    run = deploy(platform, str(folder), "--dry-run", *app, option, "")
    assert run.returncode == 2, run.stdout
    assert f"{option}: is empty: leave it out for the default" in run.stderr
