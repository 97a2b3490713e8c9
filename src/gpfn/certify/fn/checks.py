"""The checks of an Fn container, in the order of its life.

L  how its socket has to appear (fn-format.md; agent.go:974-1059)
R  what the agent sends (agent.go:621-646, runner_httptrigger.go)
P  what the agent takes for an answer (agent.go:712-745, error.go)
F  frozen between calls, called again and again, within the sandbox's bounds
"""

import os
import time

from gpfn.certify.check import Checklist, expect, not_applicable
from gpfn.certify.fn.container import (
    START_SECONDS,
    STATUSES,
    FnContainers,
    connects,
    is_socket,
    wait_for_socket,
)
from gpfn.hosts.host import Invocation

__all__ = ["CHECKS"]

_check: Checklist[FnContainers] = Checklist()
CHECKS = _check.checks

_FILES = 350  # that it may have open at once
_BAD = {
    "text": Invocation(b"no json at all"),
    "bytes that are no UTF-8": Invocation(bytes(range(256)), "application/octet-stream"),
    "half of JSON": Invocation(b'{"a": [1,', "application/json"),
    "a broken event": Invocation(b'{"specversion": "9"}', "application/cloudevents+json"),
    "an unknown media type": Invocation(b"x", "application/x-unknown"),
    "no media type": Invocation(b"{}", ""),
    "deep JSON": Invocation(b"[" * 50_000, "application/json"),
}


@_check("L1", "the socket appears within 5 s", "agent.go:917-942, config.go:175")
def _in_time(containers: FnContainers) -> None:
    with containers.starting() as (running, path):
        seconds = wait_for_socket(running, path)
        expect(seconds < START_SECONDS, f"it took {seconds:.1f} s")


@_check("L2", "it is accepting when its name appears", "fn-format.md:5-48, agent.go:974-1000")
def _ready(containers: FnContainers) -> None:
    for _ in range(3):
        with containers.starting() as (running, path):
            wait_for_socket(running, path)
            expect(connects(path), "the first connection was refused")


@_check("L3", "it is a socket, or a link to one beside it", "agent.go:1047-1059")
def _kind(containers: FnContainers) -> None:
    with containers.starting() as (running, path):
        wait_for_socket(running, path)
        if path.is_symlink():
            target = os.readlink(path)
            expect("/" not in target, f"the link leads to {target}, which has a folder")
        expect(is_socket(path), "it is no socket")


@_check("L4", "every user may write to it", "fn-format.md: mode at least 0666")
def _mode(containers: FnContainers) -> None:
    with containers.starting() as (running, path):
        wait_for_socket(running, path)
        mode = path.stat().st_mode & 0o777
        expect(mode & 0o666 == 0o666, f"its mode is {mode:o}")


@_check("L5", "another name and folder than usual", "FN_LISTENER; fdk-node issue 56")
def _elsewhere(containers: FnContainers) -> None:
    """Each start has a folder of its own; in an image the folder's path is fixed."""
    if containers.subject.kind != "command":
        not_applicable("the folder is mounted where the agent mounts it")
    with containers.starting() as (running, first):
        wait_for_socket(running, first)
    with containers.starting() as (running, second):
        wait_for_socket(running, second)
        expect(first.parent != second.parent and connects(second), "it does not listen there")


@_check("R1", "an empty body, with Content-Length: 0", "agent.go:621")
def _empty(containers: FnContainers) -> None:
    with containers.ready() as called:
        called.expect_known("an empty body", Invocation())


@_check("R2", "a chunked body of 100 kB, read to its end", "agent.go:621-622; recorded")
def _chunked(containers: FnContainers) -> None:
    with containers.ready() as called:
        for _ in range(2):
            called.expect_known("a chunked body", Invocation(b"x" * 100_000))
        called.expect_known("an empty body after it", Invocation())


@_check("R3", "a chunked body of 4 MB", "no limit of the agent's, server.go:257")
def _large(containers: FnContainers) -> None:
    with containers.ready() as called:
        called.expect_known(
            "4 MB", Invocation(b"[" + b"1," * 2_000_000 + b"1]", "application/json")
        )
        called.expect_known("an empty body after it", Invocation())


@_check("R4", "a call by HTTP trigger", "runner_httptrigger.go:162-175")
def _trigger(containers: FnContainers) -> None:
    headers = (("Accept", "*/*"), ("Cookie", "a=b"), ("X-A", "1"), ("X-A", "2"))
    with containers.ready() as called:
        request = Invocation(b"{}", "application/json", headers, as_trigger=True)
        reply = called.expect_known("a trigger", request)
        status = reply.headers.get("fn-http-status", "200")
        expect(status.isdecimal() and 100 <= int(status) <= 599, f"Fn-Http-Status is {status!r}")


@_check("R5", "any header of the caller's, repeated and in Latin-1", "agent.go:632-646")
def _headers(containers: FnContainers) -> None:
    headers = (
        ("Ce-Id", "1"),
        ("Ce-Specversion", "1.0"),
        ("Ce-Type", "\xe4"),
        ("X-Long", "v" * 8000),
        ("X-A", "1"),
        ("X-A", "2"),
        ("X-Empty", ""),
        ("Fn-Intent", "cloudevent"),
    )
    with containers.ready() as called:
        called.expect_known("those headers", Invocation(b"{}", "application/json", headers))
        called.expect_known("no header", Invocation())


@_check("R6", "one connection for many calls", "fn-format.md: HTTP/1.1, keep-alive")
def _kept(containers: FnContainers) -> None:
    with containers.ready() as called:
        for number in range(10):
            called.expect_known(f"call {number}", Invocation(b"{}", "application/json"))


@_check(
    "R7", "a new connection when the agent has closed the old one", "agent.go:1240: idle for 1 s"
)
def _dialled_anew(containers: FnContainers) -> None:
    with containers.ready() as called:
        for number in range(5):
            called.expect_known(f"call {number}", Invocation())
            called.disconnect()


@_check(
    "P1", "bad input: only 200, 502 or 504, and it lives on", "agent.go:712-726: else it is killed"
)
def _bad_input(containers: FnContainers) -> None:
    with containers.ready() as called:
        for what, request in _BAD.items():
            called.expect_known(what, request)
            expect(called.running.alive(), f"the process ended over {what}")


@_check("P2", "the same by trigger", "runner_httptrigger.go:98-135")
def _bad_input_by_trigger(containers: FnContainers) -> None:
    with containers.ready() as called:
        for what, request in _BAD.items():
            wrapped = Invocation(request.body, request.content_type, as_trigger=True)
            reply = called.expect_known(what, wrapped)
            status = reply.headers.get("fn-http-status", "200")
            expect(status.isdecimal(), f"{what}: Fn-Http-Status is {status!r}")


@_check("P3", "HTTP/1.1, and an end that is told", "fn-format.md; agent.go:731-745")
def _framing(containers: FnContainers) -> None:
    with containers.ready() as called:
        reply = called.expect_known("a call", Invocation(b"{}", "application/json"))
        expect(reply.version == 11, "the reply is not HTTP/1.1")
        expect(reply.framing != "close", "the reply ends with the connection")


@_check("P4", "a deadline that has passed", "agent.go:641-646; 504 or any answer")
def _late(containers: FnContainers) -> None:
    with containers.ready() as called:
        reply = called.call(Invocation(b"{}", "application/json", timeout=-30))
        expect(reply.status in STATUSES, f"got {reply.shown()}")
        called.expect_known("the next call", Invocation())


@_check("F1", "frozen between calls", "docker pause after 50 ms idle, agent.go:1074-1143")
def _frozen(containers: FnContainers) -> None:
    with containers.ready() as called:
        for number in range(3):
            called.expect_known(f"call {number}", Invocation())
            called.running.freeze()
            time.sleep(0.05)
            called.running.thaw()
        called.expect_known("the last call", Invocation())


@_check("F2", "100 calls on new connections leave no file open", "350 files, config.go:165-168")
def _files(containers: FnContainers) -> None:
    with containers.ready() as called:
        for _ in range(3):
            called.expect_known("a call", Invocation())
            called.disconnect()
        before = called.running.open_files()
        for _ in range(100):
            called.expect_known("a call", Invocation())
            called.disconnect()
        after = called.running.open_files()
        expect(after <= before + 2, f"{before} files were open, and {after} after 100 calls")
        expect(after < _FILES, f"{after} files are open, of {_FILES} that it may have")


@_check("F3", "the process outlives a caller that breaks off", "agent.go:671-701")
def _broken_off(containers: FnContainers) -> None:
    with containers.ready() as called:
        for part in (b"POST /call HTTP/1.1\r\nHost: localhost\r\n", b"POST /call"):
            called.connection().sock.sendall(part)
            called.disconnect()
            time.sleep(0.05)
            expect(called.running.alive(), "the process has ended")
            called.expect_known("the next call", Invocation())
            called.disconnect()
