"""Secrets are files; their values are read where they are named, and are shown nowhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn import Function, TensorSpec
from gpfn.bridge.config_routes import Secrets
from gpfn.cli.main import main
from gpfn.errors import GpfnError, SetupError, error_document
from gpfn.function.finding import find_model
from gpfn.hidden import hidden, hide
from gpfn.hosts.fn import FnHost
from gpfn.hosts.host import Invocation
from gpfn.hosts.target import find_target
from gpfn.log import Log
from gpfn.message import Message
from gpfn.models.process_worker import failure_of
from gpfn.secrets import read_secret, read_setting, revealed
from tests.conftest import ROOT

KEY = 'k3y-"quoted"-\u00e4-0123456789'
PASSWORD = "pa55word-of-the-server"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of secrets as a platform mounts it."""
    place = tmp_path / "mounted"
    (place / "db").mkdir(parents=True)
    (place / "api-key").write_text(f"{KEY}\n")
    (place / "db" / "url").write_text(f"http://user:{PASSWORD}@127.0.0.1:9/hidden-path?q=hidden-q")
    monkeypatch.setenv("GPFN_SECRETS_DIR", str(place))
    return place


@pytest.mark.usefixtures("folder")
def test_a_secret_is_the_text_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_secret("api-key") == KEY
    assert revealed("secret:api-key", field="f") == KEY
    assert revealed("plain", field="f") == "plain"
    monkeypatch.setenv("API_KEY", "secret:api-key")
    assert read_setting("API_KEY") == KEY
    assert os.environ["API_KEY"] == "secret:api-key", "the environment never has it"
    assert read_setting("NOT_SET", "usual") == "usual"


BAD = [
    ("", "expected the name of a secret"),
    ("../api-key", "expected the name of a secret"),
    ("/etc/passwd", "expected the name of a secret"),
    (".hidden", "expected the name of a secret"),
    ("a\0b", "expected the name of a secret"),
    ("x" * 200, "expected the name of a secret"),
    ("absent", "the secret absent is not in "),
    ("db", "is no file"),
    ("pipe", "is no file"),
    ("empty", "is empty"),
    ("binary", "is no text in UTF-8"),
    ("large", "has over 64 KiB"),
    ("nul", "has a NUL"),
]


@pytest.mark.parametrize(("name", "says"), BAD)
def test_what_is_no_secret(folder: Path, name: str, says: str) -> None:
    (folder / "empty").write_text("\n")
    (folder / "binary").write_bytes(b"\xff\xfe-value")
    (folder / "large").write_bytes(b"v" * (65 << 10))
    (folder / "nul").write_bytes(b"value\0value")
    os.mkfifo(folder / "pipe")
    with pytest.raises(SetupError) as caught:
        read_secret(name, field="route[0].token")
    assert says in caught.value.detail
    assert caught.value.field == "route[0].token"
    assert "value" not in caught.value.detail
    if says.startswith("expected"):
        assert not name or name not in caught.value.detail, "it may be the key itself"


def test_errors_and_the_log_do_not_have_it(folder: Path) -> None:
    key = read_secret("api-key")
    for text in (
        f"refused {key}!",
        json.dumps({"a": key}),
        "x?key=k3y-%22quoted%22-%C3%A4-0123456789",
    ):
        error = GpfnError(text, field=text)
        for shown in (str(error), json.dumps(error_document(error)), hidden(text)):
            assert "0123456789" not in shown
            assert "secret:api-key" in shown
    for form in ("text", "json"):
        lines: list[bytes] = []
        log = Log("fn", "f", form=form, sink=lambda data, _, kept=lines: kept.append(data))  # type: ignore[misc]
        log.info(f"says {key}", note=key)
        log.failure(RuntimeError(f"no such key: {key}"))
        log.warning(key)
        told = b"".join(lines)
        assert b"0123456789" not in told
        assert told.count(b"secret:api-key") >= 3


def test_short_texts_are_no_secrets_in_every_word() -> None:
    hide("abc", "secret:short")
    assert hidden("abcde") == "abcde"


@pytest.mark.usefixtures("folder")
def test_a_models_address_may_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = find_model(["secret:absent", "secret:db/url"], "/")
    assert PASSWORD in uri
    monkeypatch.setenv("GP_SERVER_URL", "secret:db/url")
    assert find_model(["env:GP_SERVER_URL"], "/") == uri
    inputs = {"x": TensorSpec("float32", (None,))}
    function = Function(model="env:GP_SERVER_URL", inputs=inputs)
    assert "secret:db/url" in function.open().uri
    reply = function.answer(Message(b"[1]", "application/json"))
    assert reply.error is not None
    told = f"{function.open()} {reply.error} {reply.message.body!r}"
    for part in (PASSWORD, "hidden-path", "hidden-q"):
        assert part not in told
    with pytest.raises(GpfnError, match="the secret absent is not in"):
        Function(model="secret:absent", inputs=inputs).open()


@pytest.mark.usefixtures("folder")
def test_a_bridges_file_names_them() -> None:
    secrets = Secrets({**os.environ, "TOKEN": "secret:api-key"}, ROOT)
    assert secrets.value("secret:api-key", "route.token") == KEY
    assert secrets.value("env:TOKEN", "route.token") == KEY
    with pytest.raises(SetupError, match=r"route\.token: the secret absent is not in"):
        secrets.value("secret:absent", "route.token")


LEAKING = """\
import os
from gpfn import Function
from gpfn.secrets import read_setting

key = read_setting("API_KEY")


def handler(payload):
    assert os.environ["API_KEY"] == "secret:api-key"
    if payload.text() == "right":
        return len(key)
    raise RuntimeError(f"the service refused {key}")


f = Function(handler, takes="payload", name="f")
handler = f.fn
"""


@pytest.mark.usefixtures("folder")
def test_a_function_reads_one_and_cannot_leak_it_by_its_errors(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(LEAKING)
    (tmp_path / "func.yaml").write_text("name: f\nconfig:\n  API_KEY: secret:api-key\n")
    host = FnHost(find_target(str(tmp_path)))
    host.start()
    try:
        assert host.call(Invocation(b"right")).body == str(len(KEY)).encode()
        answer = host.call(Invocation(b"wrong"))
        environ = Path(f"/proc/{host.pid()}/environ").read_bytes()
    finally:
        host.stop()
    told = answer.body.decode() + host.log()
    assert "refused secret:api-key" in told
    assert "0123456789" not in told
    assert b"0123456789" not in environ


@pytest.mark.usefixtures("folder")
def test_a_token_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPFN_TOKEN", "secret:absent")
    assert main(["models", "list", "--url", "http://127.0.0.1:9"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpfn: GPFN_TOKEN: the secret absent is not in ")
    monkeypatch.setenv("GPFN_TOKEN", "secret:db/url")
    assert main(["models", "list", "--url", "http://127.0.0.1:9"]) == 1
    assert PASSWORD not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_the_trace_of_users_code_has_none(tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text(
        "from gpfn.secrets import read_secret\nraise RuntimeError(read_secret('api-key'))\n"
    )
    command = [sys.executable, "-m", "gpfn", "models", "show", str(tmp_path / "func.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "RuntimeError: secret:api-key" in done.stderr
    assert "0123456789" not in done.stderr


AT_THE_CALL = """
from gpfn import Function
from gpfn.secrets import read_secret

KEY = read_secret("api-key")


def work(payload):
    raise ValueError(f"not with {KEY}")


f = Function(work, takes="payload", name="f")
handler, app = f.fn, f.asgi
"""
AT_THE_IMPORT = "from gpfn.secrets import read_secret\nraise RuntimeError(read_secret('api-key'))\n"
OF_OPENWHISK = "main = f.openwhisk\n"
PLAIN = "def main(parameters):\n    raise ValueError(f'not with {KEY}')\n"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("platform", ["fn", "http", "openwhisk", "call"])
@pytest.mark.parametrize("code", [AT_THE_CALL + OF_OPENWHISK, AT_THE_IMPORT, AT_THE_CALL + PLAIN])
def test_no_platform_tells_it_of_users_errors(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], platform: str, code: str
) -> None:
    (tmp_path / "func.py").write_text(code)
    (tmp_path / "body.json").write_text("{}")
    words = ["--platform", platform, "--data", str(tmp_path / "body.json")]
    assert main(["invoke", str(tmp_path), *words]) == 1
    told = "".join(capfd.readouterr())
    assert "secret:api-key" in told
    assert "0123456789" not in told


@pytest.mark.usefixtures("folder")
def test_doctor_does_not_tell_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "func.py").write_text(AT_THE_CALL + OF_OPENWHISK)
    (tmp_path / "sample.json").write_text("{}")
    assert main(["doctor", str(tmp_path), "--json"]) == 1
    told = "".join(capfd.readouterr())
    assert "ValueError: not with secret:api-key" in told
    assert "0123456789" not in told


@pytest.mark.usefixtures("folder")
def test_a_model_in_a_process_of_its_own_does_not_tell_it() -> None:
    told = failure_of(ValueError(f"not with {read_secret('api-key')}"))
    assert "not with secret:api-key" in told["trace"]
    assert "0123456789" not in json.dumps(told)
