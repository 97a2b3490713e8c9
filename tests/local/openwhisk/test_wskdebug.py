"""npm's wskdebug, unmodified: an action of ``gpfn dev`` is run by a process beside it.

It puts an agent, which is JavaScript, in the place of the action, polls for what the agent was
called with, runs that in a container of its own, and gives the agent the result.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.local.dev_process import Answered, DevProcess, ask, dev
from tests.local.openwhisk.docker_engine import DockerEngine, docker_engine
from tests.peers import openwhisk_packages

_PATIENCE = 60.0
CODE = """
import os

def main(args):
    print("in the debugger")
    return {"pid": os.getpid(), "args": args}
"""


class Wskdebug:
    """A wskdebug that debugs one action, and what it has printed."""

    def __init__(self, served: DevProcess, folder: Path, *words: str) -> None:
        packages = openwhisk_packages()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OW_APIHOST": served.openwhisk,
            "OW_AUTH": served.auth,
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_HOST_IP": "127.0.0.1",
        }
        script = packages / "node_modules" / "@openwhisk" / "wskdebug" / "wskdebug.js"
        self.process = subprocess.Popen(
            [packages / "node", script, *words],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._printed: list[str] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(_PATIENCE)

    def wait_for(self, text: str) -> None:
        """Wait until it has printed something."""
        with self._came:
            there = self._came.wait_for(lambda: text in self.printed or self._ended(), _PATIENCE)
        assert there, self.printed
        assert text in self.printed, self.printed

    def interrupt(self) -> int:
        """Press Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return code

    @property
    def printed(self) -> str:
        return "".join(self._printed)

    def _ended(self) -> bool:
        return self.process.poll() is not None and not self._reader.is_alive()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._came:
                self._printed.append(line)
                self._came.notify_all()
        with self._came:
            self._came.notify_all()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProcess]:
    """A ``gpfn dev`` that finds Node.js, and the client that the agent needs."""
    packages = openwhisk_packages()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(packages), prepend=os.pathsep)
        patch.setenv("NODE_PATH", str(packages / "node_modules"))
        with dev(tmp_path_factory.mktemp("empty"), "--memory") as process:
            yield process


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DockerEngine]:
    with docker_engine(tmp_path) as running:
        yield running


def whisk(served: DevProcess, method: str, path: str, body: bytes | None = None) -> Answered:
    """Ask OpenWhisk with the guest's key."""
    headers = {"Authorization": served.basic(), "Content-Type": "application/json"}
    answered = ask(method, f"{served.openwhisk}/api/v1/namespaces/_/{path}", body, headers)
    assert answered.status == 200, answered
    return answered


def put_action(served: DevProcess, name: str) -> dict[str, Any]:
    """Create an action of Python."""
    given = {"exec": {"kind": "python:3", "code": CODE}, "parameters": [{"key": "a", "value": 1}]}
    path = f"actions/{name}?overwrite=true"
    found: dict[str, Any] = whisk(served, "PUT", path, json.dumps(given).encode()).json()
    return found


def names(served: DevProcess) -> set[str]:
    return {each["name"] for each in whisk(served, "GET", "actions").json()}


def command() -> list[str]:
    """Return the options of what runs an action of ours, in a container with a debugger's port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = f"exec {sys.executable} -m gpfn run openwhisk --host 127.0.0.1 --port 8080"
    image = ["--kind", "python:3", "--image", "gpfn/openwhisk:local"]
    return [*image, "--port", str(port), "--internal-port", "5678", "--command", line, "--cleanup"]


def test_a_call_is_answered_by_the_process_beside_it(
    served: DevProcess, engine: DockerEngine, tmp_path: Path
) -> None:
    before = put_action(served, "hello")
    with Wskdebug(served, tmp_path, "hello", *command()) as debugger:
        debugger.wait_for("Ready for activations")
        assert whisk(served, "GET", "actions/hello").json()["exec"]["kind"] == "nodejs:20"
        assert "hello_wskdebug_original" in names(served)
        answered = served.activate("hello", b'{"b": 2}')
        assert answered.status == 200, answered
        (container,) = engine.containers
        assert answered.json() == {"pid": container.process.pid, "args": {"a": 1, "b": 2}}
        debugger.wait_for("in the debugger")
        debugger.wait_for("Completed activation")
        debugger.interrupt()
    assert container.removed
    assert container.asked["Image"] == "gpfn/openwhisk:local"
    after = whisk(served, "GET", "actions/hello").json()
    assert after["exec"] == before["exec"]
    assert after["parameters"] == before["parameters"]
    assert names(served) == {"hello"}, "what helped is gone"
    assert served.activate("hello").json()["pid"] != container.process.pid


def test_a_call_that_is_not_meant_goes_to_the_action_itself(
    served: DevProcess, engine: DockerEngine, tmp_path: Path
) -> None:
    put_action(served, "some")
    with Wskdebug(served, tmp_path, "some", *command(), "-c", "b == 7") as debugger:
        debugger.wait_for("Ready for activations")
        (container,) = engine.containers
        assert served.activate("some", b'{"b": 1}').json()["pid"] != container.process.pid
        assert served.activate("some", b'{"b": 7}').json()["pid"] == container.process.pid
        debugger.interrupt()


def test_what_a_killed_debugger_left_is_put_right_by_the_next(
    served: DevProcess, engine: DockerEngine, tmp_path: Path
) -> None:
    before = put_action(served, "left")
    with Wskdebug(served, tmp_path, "left", *command()) as killed:
        killed.wait_for("Ready for activations")
        killed.process.kill()
    assert whisk(served, "GET", "actions/left").json()["exec"]["kind"] == "nodejs:20"
    with Wskdebug(served, tmp_path, "left", *command()) as debugger:
        debugger.wait_for("Ready for activations")
        debugger.interrupt()
    assert whisk(served, "GET", "actions/left").json()["exec"] == before["exec"]


def test_an_action_that_is_not_there_is_told(
    served: DevProcess, engine: DockerEngine, tmp_path: Path
) -> None:
    with Wskdebug(served, tmp_path, "nothere", *command()) as debugger:
        debugger.wait_for("Action not found: nothere")
        assert debugger.process.wait(60) == 1
    assert engine.containers == []
