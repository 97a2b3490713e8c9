"""The model server's part of scaling out, with Docker's own swarm mode in the cluster's place.

Under load, three replicas become five, all get another image, go back to the first, one is
killed, and two are left. Whoever retries once sees nothing of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, product

import pytest

from gpfn.platforms.table import find_platform
from tests.images_engine.callers import (
    GRPC_PORT,
    MODEL,
    Attempt,
    Caller,
    GraphPipe,
    Grpc,
    OverRest,
    Refused,
    first_call,
)
from tests.images_engine.conftest import Build
from tests.images_engine.engines import swarm_docker
from tests.images_engine.swarm import LATE, Ended, Endpoints, Replica, Service, build_on

SIGTERM, SIGKILL = 15, 9
WORDS = ["--model", f"{MODEL}=slow.py:slow", "--parallel", "8", "--grpc", f"0.0.0.0:{GRPC_PORT}"]
"""What the server is started with."""
LONG = 0.5
"""Seconds that some calls take, so that there are some whenever a replica is ended."""
FIRST = 0.9
"""Seconds within which a replica answers that has just become ready."""


class Seen:
    """What the clients and the swarm saw."""

    def __init__(self) -> None:
        self.first_answers: list[float] = []
        self.not_warm: list[str] = []
        self.callers: list[Caller] = []
        self.killed = ""
        self.ends: dict[str, Ended] = {}

    def first(self, replica: Replica) -> None:
        """Call a replica that has just said that it is ready."""
        try:
            self.first_answers.append(first_call(replica))
        except (OSError, AssertionError, Refused) as error:
            self.not_warm.append(repr(error))

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts of all callers."""
        return list(chain.from_iterable(one.attempts for one in self.callers))


@contextmanager
def load(seen: Seen, endpoints: Endpoints) -> Iterator[None]:
    """Call from twelve clients: three protocols, kept and new connections, quick and long calls."""
    every = product((GraphPipe, OverRest, Grpc), (True, False), (0.0, LONG))
    seen.callers = [
        Caller(endpoints, number, seconds, protocol, keep=keep)
        for number, (protocol, keep, seconds) in enumerate(every)
    ]
    try:
        yield
    finally:
        for caller in seen.callers:
            caller.stop()


@pytest.fixture(scope="module")
def seen(build: Build) -> Seen:
    """What was seen of everything that happens to a service."""
    server = build("", "server", "--runtime", "litert")
    image = find_platform("server", "image").image
    assert image is not None
    seen = Seen()
    with swarm_docker(server) as environ:
        first, second = (build_on(server, f"slow:{n}", n, environ) for n in (1, 2))
        service = Service(environ, first, 3, WORDS)
        endpoints = Endpoints(service, image.health, seen.first)
        endpoints.wait_for(3)
        with load(seen, endpoints):
            service.scale(5)
            service.update(second)
            service.rollback(first)
            seen.killed = service.kill()
            service.scale(2)
            time.sleep(2 * LONG)
        endpoints.stop()
        seen.ends = service.ends()
    return seen


def test_no_call_fails_for_who_retries_once(seen: Seen) -> None:
    assert [one for caller in seen.callers for one in caller.failed] == []
    assert {version for caller in seen.callers for version in caller.versions} == {1.0, 2.0}
    assert all(len(caller.attempts) > 20 for caller in seen.callers)


def test_no_replica_is_ready_before_its_model_is_warm(seen: Seen) -> None:
    assert seen.not_warm == []
    assert len(seen.first_answers) == 3 + 2 + 5 + 5 + 1
    assert max(seen.first_answers) < FIRST, "the model's first call takes a second"


def late(attempt: Attempt, told: dict[str, Ended]) -> bool:
    """Say whether it came when the replica was ending, and nothing of it was computed.

    A connection that is kept may be closed while a request is on its way there: every client
    of HTTP has to expect that. grpcio's server cancels what it has not begun, also what was on
    its way when the replica was told to end. But who can make a new connection is to be answered.
    """
    if attempt.replica not in told:
        return False
    end = told[attempt.replica].told
    if "(CANCELLED)" in attempt.outcome:
        return attempt.ended >= end - LATE
    return attempt.kept and attempt.began >= end


def test_no_replica_ends_in_mid_request(seen: Seen) -> None:
    told = {name: end for name, end in seen.ends.items() if name != seen.killed}
    assert len(told) == 5 + 5 + 3
    assert {(end.signal, end.exit_code) for end in told.values()} == {(SIGTERM, 0)}
    lost = [one for one in seen.attempts if one.outcome not in ("answered", "refused")]
    assert [one for one in lost if one.replica != seen.killed and not late(one, told)] == []
    during = [
        one
        for one in seen.attempts
        if one.replica in told and one.began < told[one.replica].told < one.ended
    ]
    assert during, "or none was told to end while it computed"


def test_one_was_killed(seen: Seen) -> None:
    assert seen.ends[seen.killed].signal == SIGKILL
    assert any(one.replica == seen.killed for one in seen.attempts)
