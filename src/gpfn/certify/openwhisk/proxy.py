"""D: how /init and /run refuse, and archives other than zip (the Go proxy's tests)."""

import base64

from gpfn.certify.check import Checklist, expect
from gpfn.certify.openwhisk.action import Actions
from gpfn.certify.openwhisk.samples import ECHO, tarred

__all__ = ["CHECKS"]

_check: Checklist[Actions] = Checklist()
CHECKS = _check.checks


@_check("D1", "a tar.gz of code", "runtime-go CHANGES 1.22.0; extractor_test")
def _tar(actions: Actions) -> None:
    files = {"__main__.py": "from echo import main\n", "echo.py": ECHO}
    with actions.fresh() as action:
        found = action.initialised(tarred(files), binary=True).result({"a": 1})
        expect(found == {"a": 1}, f"got {found!r}")


@_check("D2", "source that came as base64", "Exec.scala:358; extractor.go:50")
def _base64_source(actions: Actions) -> None:
    code = base64.b64encode(ECHO.encode()).decode()
    with actions.fresh() as action:
        found = action.initialised(code, binary=True).result({"a": 1})
        expect(found == {"a": 1}, f"got {found!r}")


@_check("D3", "a main that is not there: 502", "initHandler.go:132; compiler_test")
def _no_such_main(actions: Actions) -> None:
    with actions.fresh() as action:
        reply = action.init(ECHO, main="absent")
        expect(reply.status == 502, f"got {reply.shown()}")


@_check("D4", "/init with what is no JSON: 400", "initHandler.go:83")
def _broken_init(actions: Actions) -> None:
    with actions.fresh() as action:
        reply = action.post("/init", b"{")
        expect(reply.status == 400, f"got {reply.shown()}")


@_check("D5", "/init with what is no base64: 400", "initHandler.go:107")
def _broken_base64(actions: Actions) -> None:
    with actions.fresh() as action:
        reply = action.init("no base64!", binary=True)
        expect(reply.status == 400, f"got {reply.shown()}")


@_check("D6", "/run before /init: 500, or built-in code runs", "runHandler.go:57")
def _run_first(actions: Actions) -> None:
    with actions.fresh() as action:
        reply = action.run({})
        expect(reply.status in (200, 500), f"got {reply.shown()}")
        expect(isinstance(reply.json(), dict), f"got {reply.shown()}")


@_check("D7", "a failed /init ends the log with sentinels", "initHandler.go:123")
def _sentinels_after_failure(actions: Actions) -> None:
    with actions.fresh() as action:
        reply = action.init("import iamnotsupported\n")
        expect(reply.status != 200, f"got {reply.shown()}")
        action.expect_sentinels(1)
