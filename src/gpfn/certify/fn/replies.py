"""P: what the agent takes for an answer (agent.go:712-745, error.go)."""

from gpfn.certify.check import Checklist, expect
from gpfn.certify.fn.container import STATUSES, Containers
from gpfn.hosts.host import Request

__all__ = ["CHECKS"]

_check: Checklist[Containers] = Checklist()
CHECKS = _check.checks

_BAD = {
    "text": Request(b"no json at all"),
    "bytes that are no UTF-8": Request(bytes(range(256)), "application/octet-stream"),
    "half of JSON": Request(b'{"a": [1,', "application/json"),
    "a broken event": Request(b'{"specversion": "9"}', "application/cloudevents+json"),
    "an unknown media type": Request(b"x", "application/x-unknown"),
    "no media type": Request(b"{}", ""),
    "deep JSON": Request(b"[" * 50_000, "application/json"),
}


@_check(
    "P1", "bad input: only 200, 502 or 504, and it lives on", "agent.go:712-726: else it is killed"
)
def _bad_input(containers: Containers) -> None:
    with containers.ready() as called:
        for what, request in _BAD.items():
            called.expect_known(what, request)
            expect(called.running.alive(), f"the process ended over {what}")


@_check("P2", "the same by trigger", "runner_httptrigger.go:98-135")
def _bad_input_by_trigger(containers: Containers) -> None:
    with containers.ready() as called:
        for what, request in _BAD.items():
            wrapped = Request(request.body, request.content_type, as_trigger=True)
            reply = called.expect_known(what, wrapped)
            status = reply.headers.get("fn-http-status", "200")
            expect(status.isdecimal(), f"{what}: Fn-Http-Status is {status!r}")


@_check("P3", "HTTP/1.1, and an end that is told", "fn-format.md; agent.go:731-745")
def _framing(containers: Containers) -> None:
    with containers.ready() as called:
        reply = called.expect_known("a call", Request(b"{}", "application/json"))
        expect(reply.version == 11, "the reply is not HTTP/1.1")
        expect(reply.framing != "close", "the reply ends with the connection")


@_check("P4", "a deadline that has passed", "agent.go:641-646; 504 or any answer")
def _late(containers: Containers) -> None:
    with containers.ready() as called:
        reply = called.call(Request(b"{}", "application/json", timeout=-30))
        expect(reply.status in STATUSES, f"got {reply.shown()}")
        called.expect_known("the next call", Request())
