"""A service of Docker's swarm mode, and those of its containers that are ready to be called.

What Kubernetes does with a readiness probe and a Service's endpoints is done by a thread
here: it asks the engine which containers run, and each of them whether it is ready.
"""

import http.client
import json
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

__all__ = ["LATE", "Ended", "Endpoints", "Replica", "Service", "build_on"]

_SERVICE = "served"
_MOST_SECONDS = 60.0
_LOOK_SECONDS = 0.1
LATE = 0.1
"""Seconds between a signal and the engine's word of it, at most."""


class Replica(NamedTuple):
    """One running container, and whether the engine finds it healthy."""

    id: str
    image: str
    address: str
    healthy: bool


class Ended(NamedTuple):
    """A container's end: when it was told to, by which signal, when it ended, and how.

    The engine tells of a signal when it has sent it, so that came up to ``LATE`` before.
    """

    told: float
    signal: int
    ended: float
    exit_code: int


class _Engine(http.client.HTTPConnection):
    """The engine's own interface, behind its unix socket: it costs less than a process does."""

    def __init__(self, environ: dict[str, str]) -> None:
        super().__init__("localhost")
        self._path = environ["DOCKER_HOST"].removeprefix("unix://")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)

    def open(self, path: str, filters: dict[str, list[str]]) -> http.client.HTTPResponse:
        self.request("GET", f"/v1.40/{path}?filters={quote(json.dumps(filters))}")
        return self.getresponse()

    def ask(self, path: str, filters: dict[str, list[str]]) -> Any:
        with closing(self):
            return json.loads(self.open(path, filters).read())


def build_on(server: str, tag: str, version: int, environ: dict[str, str]) -> str:
    """Build the image of the slow model in a version, on the server's image; returns the tag."""
    folder = str(Path(__file__).parent / "slow_model")
    arguments = [f"--build-arg=SERVER={server}", f"--build-arg=MODEL_VERSION={version}"]
    _docker(environ, "build", "--quiet", f"--tag={tag}", *arguments, folder)
    return tag


def _docker(environ: dict[str, str], *words: str) -> None:
    done = subprocess.run(
        ["docker", *words],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Service:
    """A service of the swarm. Its methods return when the swarm is as they say."""

    def __init__(
        self, environ: dict[str, str], image: str, count: int, words: Sequence[str] = ()
    ) -> None:
        """Start ``count`` containers of an image under the flags of a careful cluster."""
        self._environ = environ
        self._events: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()
        order = ["order=start-first", "parallelism=2", "monitor=1s"]
        flags = [f"--{what}-{one}" for what in ("update", "rollback") for one in order]
        flags += ["--network=bridge", "--health-interval=1s", "--stop-grace-period=35s"]
        flags += ["--read-only", "--cap-drop=ALL", f"--replicas={count}", f"--name={_SERVICE}"]
        self._run("create", "--detach", "--no-resolve-image", *flags, image, *words)
        self._wait(image, count)

    def scale(self, count: int) -> None:
        """Have another number of containers."""
        image = self.replicas()[0].image
        self._run("scale", "--detach", f"{_SERVICE}={count}")
        self._wait(image, count)

    def update(self, image: str) -> None:
        """Replace all containers by those of another image, a few at a time."""
        count = len(self.replicas())
        self._run("update", "--detach", "--no-resolve-image", f"--image={image}", _SERVICE)
        self._wait(image, count, "completed")

    def rollback(self, image: str) -> None:
        """Go back to the image that was there before, which is ``image``."""
        count = len(self.replicas())
        self._run("rollback", "--detach", _SERVICE)
        self._wait(image, count, "rollback_completed")

    def kill(self) -> str:
        """Kill a container, and wait until there is another one; returns the killed one's id."""
        replicas = self.replicas()
        _docker(self._environ, "kill", "--signal=KILL", replicas[0].id)
        self._wait(replicas[0].image, len(replicas), without=replicas[0].id)
        return replicas[0].id

    def replicas(self) -> list[Replica]:
        """Return the containers that run."""
        filters = {"label": [f"com.docker.swarm.service.name={_SERVICE}"]}
        rows = _Engine(self._environ).ask("containers/json", filters)
        found = [_replica(row) for row in rows]
        self._running = {one.id for one in found}
        return found

    def has(self, replica: Replica) -> bool:
        """Say whether a container ran when the swarm was last asked."""
        return replica.id in self._running

    def ends(self) -> dict[str, Ended]:
        """Return how every container ended that has ended, by its id."""
        told: dict[str, tuple[float, int]] = {}
        found = {}
        for event in map(json.loads, self._events):
            name, when, about = event["id"], event["timeNano"] / 1e9, event["Actor"]["Attributes"]
            if event["Action"] == "kill":
                told.setdefault(name, (when, int(about["signal"])))
            else:
                found[name] = Ended(*told.get(name, (when, 0)), when, int(about["exitCode"]))
        return found

    def _listen(self) -> None:
        """Keep what the engine tells of ends, until it ends itself: it remembers few events."""
        filters = {"type": ["container"], "event": ["kill", "die"]}
        with suppress(http.client.HTTPException, OSError):
            answer = _Engine(self._environ).open("events", filters)
            while line := answer.readline():
                self._events.append(line)

    def _run(self, verb: str, *words: str) -> None:
        _docker(self._environ, "service", verb, *words)

    def _wait(self, image: str, count: int, state: str = "", without: str = "") -> None:
        """Wait until there are ``count`` containers, all healthy and all of an image."""
        end = time.monotonic() + _MOST_SECONDS
        while not self._is(image, count, state, without):
            assert time.monotonic() < end, (image, count, state, self.replicas())
            time.sleep(_LOOK_SECONDS)

    def _is(self, image: str, count: int, state: str, without: str) -> bool:
        replicas = self.replicas()
        right = all(one.healthy and one.image == image and one.id != without for one in replicas)
        return right and len(replicas) == count and (not state or self._update_state() == state)

    def _update_state(self) -> str:
        rows = _Engine(self._environ).ask("services", {"name": [_SERVICE]})
        return str((rows[0].get("UpdateStatus") or {}).get("State", ""))


def _replica(row: dict[str, Any]) -> Replica:
    address = row["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    return Replica(row["Id"], row["Image"], address, "(healthy)" in row["Status"])


class Endpoints:
    """The replicas that say of themselves that they are ready, asked again and again.

    ``first`` is called with each replica as soon as it says so for the first time.
    """

    def __init__(self, service: Service, health: str, first: Callable[[Replica], None]) -> None:
        self._service, self._health, self._first = service, health, first
        self._ready: dict[str, Replica] = {}
        self._asked: dict[str, threading.Thread] = {}
        self._stopped = threading.Event()
        self._looks = threading.Thread(target=self._look, daemon=True)
        self._looks.start()

    def pick(self, but: str = "") -> Replica:
        """Return one of them by chance, but not that id; raises LookupError if there is none."""
        return random.choice([one for one in tuple(self._ready.values()) if one.id != but])

    def wait_for(self, count: int) -> None:
        """Wait until so many are ready."""
        end = time.monotonic() + _MOST_SECONDS
        while len(self._ready) != count:
            assert time.monotonic() < end, self._ready
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()
        for thread in (self._looks, *self._asked.values()):
            thread.join()

    def _look(self) -> None:
        """Ask every replica that appears, in a thread of its own: one may be slow to answer."""
        while not self._stopped.wait(_LOOK_SECONDS):
            for replica in self._service.replicas():
                if replica.address and replica.id not in self._asked:
                    asking = threading.Thread(target=self._ask, args=(replica,), daemon=True)
                    self._asked[replica.id] = asking
                    asking.start()

    def _ask(self, replica: Replica) -> None:
        seen = False
        while not self._stopped.wait(_LOOK_SECONDS) and self._service.has(replica):
            if self._is_ready(replica):
                if not seen:
                    self._first(replica)
                seen = True
                self._ready[replica.id] = replica
            else:
                self._ready.pop(replica.id, None)
        self._ready.pop(replica.id, None)

    def _is_ready(self, replica: Replica) -> bool:
        connection = http.client.HTTPConnection(replica.address, 9000, timeout=1.0)
        try:
            connection.request("GET", self._health, headers={"Connection": "close"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
