"""R: what the agent sends (agent.go:621-646, runner_httptrigger.go)."""

from gpfn.certify.check import Checklist, expect
from gpfn.certify.fn.container import Containers
from gpfn.hosts.host import Request

__all__ = ["CHECKS"]

_check: Checklist[Containers] = Checklist()
CHECKS = _check.checks


@_check("R1", "an empty body, with Content-Length: 0", "agent.go:621")
def _empty(containers: Containers) -> None:
    with containers.ready() as called:
        called.expect_known("an empty body", Request())


@_check("R2", "a chunked body of 100 kB, read to its end", "agent.go:621-622; recorded")
def _chunked(containers: Containers) -> None:
    with containers.ready() as called:
        for _ in range(2):
            called.expect_known("a chunked body", Request(b"x" * 100_000))
        called.expect_known("an empty body after it", Request())


@_check("R3", "a chunked body of 4 MB", "no limit of the agent's, server.go:257")
def _large(containers: Containers) -> None:
    with containers.ready() as called:
        called.expect_known("4 MB", Request(b"[" + b"1," * 2_000_000 + b"1]", "application/json"))
        called.expect_known("an empty body after it", Request())


@_check("R4", "a call by HTTP trigger", "runner_httptrigger.go:162-175")
def _trigger(containers: Containers) -> None:
    headers = (("Accept", "*/*"), ("Cookie", "a=b"), ("X-A", "1"), ("X-A", "2"))
    with containers.ready() as called:
        request = Request(b"{}", "application/json", headers, as_trigger=True)
        reply = called.expect_known("a trigger", request)
        status = reply.headers.get("fn-http-status", "200")
        expect(status.isdecimal() and 100 <= int(status) <= 599, f"Fn-Http-Status is {status!r}")


@_check("R5", "any header of the caller's, repeated and in Latin-1", "agent.go:632-646")
def _headers(containers: Containers) -> None:
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
        called.expect_known("those headers", Request(b"{}", "application/json", headers))
        called.expect_known("no header", Request())


@_check("R6", "one connection for many calls", "fn-format.md: HTTP/1.1, keep-alive")
def _kept(containers: Containers) -> None:
    with containers.ready() as called:
        for number in range(10):
            called.expect_known(f"call {number}", Request(b"{}", "application/json"))


@_check(
    "R7", "a new connection when the agent has closed the old one", "agent.go:1240: idle for 1 s"
)
def _dialled_anew(containers: Containers) -> None:
    with containers.ready() as called:
        for number in range(5):
            called.expect_known(f"call {number}", Request())
            called.hang_up()
