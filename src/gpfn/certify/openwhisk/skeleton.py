"""C: what OpenWhisk asks of an image with built-in code (the docker skeleton)."""

from gpfn.certify.check import Checklist, expect, not_applicable
from gpfn.certify.openwhisk.action import Action, Actions
from gpfn.certify.openwhisk.samples import zipped

__all__ = ["CHECKS"]

_check: Checklist[Actions] = Checklist()
CHECKS = _check.checks

_EXEC = '#!/bin/sh\necho \'{"msg": "hello zip"}\'\n'


def _expect_object(action: Action) -> None:
    reply = action.post("/run", {})
    expect(reply.status == 200, f"/run answered {reply.shown()}")
    expect(isinstance(reply.json(), dict), f"/run answered {reply.shown()}")


def _built_in(actions: Actions) -> None:
    """End the check as not applicable unless /init succeeds without code."""
    with actions.fresh() as action:
        if action.post("/init", {}).status != 200:
            not_applicable("the server brings no code of its own")


@_check("C1", "built-in code runs without /init", "ActionProxyContainerTests:170")
def _without_init(actions: Actions) -> None:
    _built_in(actions)
    with actions.fresh() as action:
        _expect_object(action)
        action.expect_sentinels(1)


@_check("C2", "built-in code runs after /init with code null", "ActionProxyContainerTests:183")
def _null_code(actions: Actions) -> None:
    _built_in(actions)
    with actions.fresh() as action:
        action.init(None, env=None)
        _expect_object(action)


@_check("C3", "built-in code runs after /init {}", "ActionProxyContainerTests:198")
def _empty_init(actions: Actions) -> None:
    _built_in(actions)
    with actions.fresh() as action:
        action.post("/init", {})
        _expect_object(action)


@_check("C4", "an argument that is a text: refused, and sentinels", "ActionProxyContainerTests:213")
def _text(actions: Actions) -> None:
    """The skeleton says 404; runtimes that take code have other statuses for it."""
    with actions.fresh() as action:
        reply = action.initialised().run("A")
        document = reply.json()
        refused = isinstance(document, dict) and "error" in document
        expect(reply.status != 200 and refused, f"got {reply.shown()}")
        action.expect_sentinels(1)


@_check("C5", "a zip with a program called exec", "ActionProxyContainerTests:244")
def _exec(actions: Actions) -> None:
    with actions.fresh() as action:
        code = zipped({"exec": _EXEC}, {"exec": 0o755})
        if action.init(code, binary=True).status != 200:
            not_applicable("the server takes Python, not programs")
        found = action.result({})
        expect(found == {"msg": "hello zip"}, f"got {found!r}")
