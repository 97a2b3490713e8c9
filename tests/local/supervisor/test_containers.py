"""Images as processes of the supervisor, with a stand-in for the engine's command line."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpfn.hosts.openwhisk import SENTINEL
from gpfn.local.calling import CallOutcome
from gpfn.local.deployed import Deployed
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from tests.local.supervisor.engine import install, told
from tests.local.supervisor.functions import on_fn, on_openwhisk

SERVER = """
import json, os, socket, sys, time

def serve(listener):
    while True:
        connection, _ = listener.accept()
        data = b""
        while not (data.endswith(b"0\\r\\n\\r\\n") or (b"\\r\\n\\r\\n" in data and complete(data))):
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
        if not data:
            continue
        print("asked", data.split()[1].decode(), flush=True)
        if b"/run" in data[:20]:
            print("@END", flush=True)
            print("@END", file=sys.stderr, flush=True)
        if b"die" in data:
            os._exit(137)
        if b"sleep" in data:
            time.sleep(60)
        shown = {name: os.environ.get(name) for name in ("FN_MEMORY", "SECRET_KEY", "DOCKER_X")}
        shown["pid"] = os.getpid()
        body = json.dumps(shown).encode()
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n"
                           b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        connection.close()

def complete(data):
    head, _, body = data.partition(b"\\r\\n\\r\\n")
    for line in head.lower().split(b"\\r\\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return b"transfer-encoding" not in head.lower()
""".replace("@END", SENTINEL)
FN = (
    SERVER
    + """
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["IOFS"] + "/lsnr.sock")
listener.listen()
serve(listener)
"""
)
ACTION = (
    SERVER
    + """
time.sleep(0.2)
listener = socket.create_server(("127.0.0.1", 0))
listener.listen()
with open(os.environ["PORTS"] + "/port", "w") as file:
    file.write(str(listener.getsockname()[1]))
serve(listener)
"""
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the engine, and with what its images start."""
    install(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, source in (("image", FN), ("action", ACTION), ("broken", "raise SystemExit(3)")):
        (tmp_path / name).write_text(source)
    return tmp_path


def call(deployed: Deployed, *bodies: bytes, pause: float = 0.0) -> list[CallOutcome]:
    """Return what came of calls, one after the other; everything is ended then."""

    async def all_of_it() -> list[CallOutcome]:
        supervisor = Supervisor(SupervisorSettings(engine="docker"))
        outcomes = []
        try:
            for body in bodies:
                asked = on_fn(body) if deployed.platform == "fn" else on_openwhisk()
                outcomes.append(await supervisor.call(deployed, asked))
                await asyncio.sleep(pause)
        finally:
            await supervisor.close()
        return outcomes

    return asyncio.run(all_of_it())


def image(name: str, platform: str = "fn", **values: object) -> Deployed:
    return Deployed("key", platform, "f", "1", image=name, **values)  # type: ignore[arg-type]


def shown(outcome: CallOutcome) -> dict[str, object]:
    assert outcome.answer is not None, outcome.detail
    return dict(json.loads(outcome.answer.body))


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_container_is_called_paused_and_removed(folder: Path) -> None:
    config = {"SECRET_KEY": "not-to-be-seen", "DOCKER_X": "1"}
    cold, warm = call(image("image:1", memory=256, environ=config), b"a", b"b", pause=0.5)
    assert (cold.cold, warm.cold) == (True, False)
    assert shown(cold)["pid"] == shown(warm)["pid"]
    assert shown(cold) == shown(warm) | {"FN_MEMORY": "256", **config}
    assert [text for _, _, text in warm.log] == ["asked /call"]
    commands = told(folder)
    assert [words[0] for words in commands] == [
        "ps", "run", "inspect", "pause", "unpause", "pause", "unpause", "rm",
    ]  # fmt: skip
    (run,) = [words for words in commands if words[0] == "run"]
    assert {"--rm", "--pull=never", "--memory=256m", "--read-only", "--env=SECRET_KEY"} <= {*run}
    assert f"--label=gpfn.dev={os.getpid()}" in run
    assert "not-to-be-seen" not in " ".join(run)
    assert not list(Path("/tmp").glob(f"gpfn-dev-{os.getpid()}-*"))


def test_an_actions_container_is_reached_by_its_published_port(folder: Path) -> None:
    cold, warm = call(image("action:1", "openwhisk", memory=256, timeout=20.0), b"{}", b"{}")
    assert shown(cold)["pid"] == shown(warm)["pid"]
    (run,) = [words for words in told(folder) if words[0] == "run"]
    assert "--publish=127.0.0.1::8080" in run
    assert "asked /init" in [text for _, _, text in cold.log]


def test_an_image_that_is_not_there_is_told_in_the_engines_words(folder: Path) -> None:
    (outcome,) = call(image("absent:1"), b"")
    assert outcome.failure == "start failed"
    assert outcome.detail == "docker: No such image: absent:1"


def test_a_container_that_ends_before_it_listens(folder: Path) -> None:
    (outcome,) = call(image("broken:1"), b"")
    assert (outcome.failure, "exit code 3" in outcome.detail) == ("start failed", True)


def test_a_killed_container_had_too_much_memory(folder: Path) -> None:
    outcomes = call(image("image:1", memory=64), b"die", b"a")
    assert [outcome.failure for outcome in outcomes] == ["memory", ""]
    assert "64 MB" in outcomes[0].detail


def test_a_call_over_its_time_is_told_when_the_container_is_gone(folder: Path) -> None:
    async def all_of_it() -> CallOutcome:
        supervisor = Supervisor(SupervisorSettings(engine="docker"))
        try:
            outcome = await supervisor.call(image("image:1"), on_fn(b"sleep", seconds=0.5))
            assert told(folder)[-1][0] == "rm"
            return outcome
        finally:
            await supervisor.close()

    assert asyncio.run(all_of_it()).failure == "timed out"


def test_what_a_killed_supervisor_left_is_removed(folder: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (folder / "left").write_text(f"aaaa {ended.pid}\nbbbb {os.getpid()}\ncccc none\n")
    call(image("broken:1"), b"")
    wait_for(lambda: len(told(folder)) >= 3)
    assert told(folder)[1] == ["rm", "--force", "--volumes", "aaaa"]


def test_without_an_engine_an_image_is_not_run(folder: Path) -> None:
    async def all_of_it() -> CallOutcome:
        supervisor = Supervisor(SupervisorSettings())
        try:
            return await supervisor.call(image("image:1"), on_fn(b""))
        finally:
            await supervisor.close()

    outcome = asyncio.run(all_of_it())
    assert (outcome.failure, outcome.answer) == ("start failed", None)
    assert not (folder / "told").exists()


def test_an_engine_that_has_gone_fails_its_images_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def call() -> CallOutcome:
        supervisor = Supervisor(SupervisorSettings(engine="docker"))
        try:
            return await supervisor.call(Deployed("k", "fn", "f", "1", image="some:1"), on_fn())
        finally:
            await supervisor.close()

    outcome = asyncio.run(call())
    assert outcome.failure == "start failed"
    assert "docker: No such file" in outcome.detail
