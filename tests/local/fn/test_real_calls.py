"""Calls over HTTP of functions that run as real processes under the supervisor."""

import os
import signal
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpfn.local.deployed import MappedImage
from gpfn.local.supervisor.settings import SupervisorSettings
from gpfn.local.supervisor.supervisor import Supervisor
from tests.local.fn.fn_server import FnServer, fn_server

SOURCES = {
    "echo": """
        def handler(ctx, data=None):
            return data.getvalue()
        """,
    "pid": """
        import os
        def handler(ctx, data=None):
            return str(os.getpid()) + " " + os.environ.get("KEY", "") + " " + os.environ["FN_FN_ID"]
        """,
    "raises": """
        def handler(ctx, data=None):
            raise KeyError("no such thing")
        """,
    "slow": """
        import os, time
        def handler(ctx, data=None):
            print("I am", os.getpid(), flush=True)
            time.sleep(60)
        """,
    "ends": """
        import sys
        sys.exit(3)
        """,
    "mute": """
        import time
        time.sleep(60)
        """,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "func.py").write_text(textwrap.dedent(source))
    return tmp_path


@contextmanager
def served(folder: Path, seconds: float) -> Iterator[FnServer]:
    """Serve the folder's functions, which have so long to listen: a machine may be busy."""

    def resolve(image: str) -> MappedImage:
        file = folder / image.partition(":")[0] / "func.py"
        return MappedImage(str(file.stat().st_mtime_ns), file)

    settings = SupervisorSettings(most_per_function=1, most_waiting=1, start_seconds=seconds)
    with fn_server(make=lambda: Supervisor(settings), resolver=resolve) as running:
        yield running


@pytest.fixture
def server(folder: Path) -> Iterator[FnServer]:
    with served(folder, 30.0) as running:
        yield running


def deployed(server: FnServer, name: str, **fields: object) -> str:
    """Deploy a function of the folder; returns the path that invokes it."""
    apps = server.ask("GET", "/v2/apps?name=real").document["items"]
    app = apps[0] if apps else server.made("/v2/apps", name="real")
    fn = server.made("/v2/fns", app_id=app["id"], name=name, image=f"{name}:1", **fields)
    trigger = {"app_id": app["id"], "fn_id": fn["id"], "type": "http"}
    server.made("/v2/triggers", **trigger, name=name, source=f"/{name}")
    return f"/invoke/{fn['id']}"


def test_a_function_answers_by_its_id_and_by_its_trigger(server: FnServer) -> None:
    path = deployed(server, "echo")
    large = os.urandom(300_000)
    assert server.ask("POST", path, large).body == large
    first = server.last_call()
    assert first.cold
    assert first.stages.start > 0
    assert server.ask("PUT", "/t/real/echo?x=1", b"by trigger").body == b"by trigger"
    second = server.last_call()
    assert not second.cold
    assert second.memory > 1_000_000
    assert second.via == "trigger /t/real/echo"


def test_a_process_is_kept_until_something_changes(server: FnServer, folder: Path) -> None:
    path = deployed(server, "pid", config={"KEY": "one"})
    first = server.ask("POST", path).body.decode().split()
    assert server.ask("POST", path).body.decode().split() == first
    assert first[1:] == ["one", path.rpartition("/")[2]]
    server.ask("PUT", path.replace("/invoke", "/v2/fns"), {"config": {"KEY": "two"}})
    second = server.ask("POST", path).body.decode().split()
    assert second[1] == "two"
    assert second[0] != first[0]
    source = folder / "pid" / "func.py"
    source.write_text(source.read_text().replace("KEY", "OTHER"))
    assert len(server.ask("POST", path).body.decode().split()) == 2


def test_what_a_function_raises_is_not_passed_on(server: FnServer) -> None:
    reply = server.ask("POST", deployed(server, "raises"))
    assert (reply.status, reply.message) == (502, "function failed")
    assert b"no such thing" not in reply.body
    late = time.monotonic() + 5
    while "no such thing" not in repr(server.last_call().log) and time.monotonic() < late:
        time.sleep(0.01)
    log = [text for _, _, text in server.last_call().log]
    assert sum("Traceback" in text for text in log) == 1
    assert any("KeyError: 'no such thing'" in text for text in log)


def test_a_function_that_takes_too_long(server: FnServer) -> None:
    path = deployed(server, "slow", timeout=1)
    began = time.monotonic()
    reply = server.ask("POST", path)
    assert (reply.status, reply.message) == (504, "Timed out")
    assert time.monotonic() - began < 15
    # the runner may have said so itself: a deadline is told in whole seconds
    assert server.last_call().failure in ("", "timed out")


def test_a_function_that_ends_before_it_listens(server: FnServer) -> None:
    reply = server.ask("POST", deployed(server, "ends"))
    assert reply.status == 502
    assert reply.message.startswith("Container failed to initialize, please ensure")


def test_a_function_that_never_listens(folder: Path) -> None:
    with served(folder, 1.0) as server:
        reply = server.ask("POST", deployed(server, "mute"))
    assert reply.status == 504
    assert reply.message.startswith("Container initialization timed out, please ensure")


def test_a_function_that_is_killed_in_the_middle(server: FnServer) -> None:
    path = deployed(server, "slow")
    replies: list[tuple[int, str]] = []

    def ask() -> None:
        reply = server.ask("POST", path)
        replies.append((reply.status, reply.message))

    thread = threading.Thread(target=ask)
    thread.start()
    supervisor = server.said
    assert isinstance(supervisor, Supervisor)
    until = time.monotonic() + 40
    while not any(each.state == "busy" for each in server.on_loop(supervisor.processes)):
        assert time.monotonic() < until, (replies, server.calls.running)
        time.sleep(0.02)
    time.sleep(0.3)
    for each in server.on_loop(supervisor.processes):
        os.kill(each.pid, signal.SIGKILL)
    thread.join()
    assert replies == [(502, "error receiving function response")]
    assert server.last_call().failure == "crashed"


def test_calls_beyond_the_queue_are_told_to_come_again(server: FnServer) -> None:
    path = deployed(server, "slow", timeout=2)
    replies: list[tuple[int, str | None]] = []

    def ask() -> None:
        reply = server.ask("POST", path)
        replies.append((reply.status, reply.headers.get("retry-after")))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (503, "15") in replies
    assert {status for status, _ in replies} == {503, 504}
