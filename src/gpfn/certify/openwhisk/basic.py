"""A: what OpenWhisk asks of every runtime (BasicActionRunnerTests)."""

from gpfn.certify.check import Checklist, expect
from gpfn.certify.openwhisk.action import CONTEXT, ECHO, NAMED, TALKING, UNICODE, ActionServers

__all__ = ["CHECKS"]

_check: Checklist[ActionServers] = Checklist()
CHECKS = _check.checks

_NO_CODE = (
    "Missing main/no code to execute.",
    "The action failed to generate or locate a binary. See logs for details.",
)
_NOT_A_DICTIONARY = (
    "The action did not return a dictionary or array.",
    "The action did not return a dictionary.",
)
_TWICE = "Cannot initialize the action more than once."
_LARGE = 1_048_561


@_check("A1", "/init with empty code: refused, or built-in code runs", "BasicActionRunnerTests:137")
def _empty_code(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init("")
        if reply.status == 200:
            action.expect_alive()
        else:
            document = reply.json()
            expect(isinstance(document, dict) and "error" in document, f"got {reply.shown()}")


@_check("A2", "/init {}: the exact message, or built-in code", "BasicActionRunnerTests:150")
def _no_content(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.post("/init", {})
        known = [{"error": text} for text in _NO_CODE]
        expect(reply.status == 200 or reply.json() in known, f"got {reply.shown()}")


@_check(
    "A3", "a result that is no dictionary: not 200, the exact message", "BasicActionRunnerTests:168"
)
def _no_dictionary(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("def main(args):\n    return 'not a json object'\n")
        reply = action.post("/run", {})
        expect(reply.status != 200, f"got {reply.shown()}")
        expect(reply.json() in [{"error": t} for t in _NOT_A_DICTIONARY], f"got {reply.shown()}")
        expect(action.text() == ("", ""), f"the streams are not empty: {action.text()!r}")


@_check(
    "A4", "a second /init: not 200, the exact message, no sentinels", "BasicActionRunnerTests:191"
)
def _twice(actions: ActionServers) -> None:
    with actions.echoing() as action:
        reply = action.init(ECHO)
        expect(reply.status != 200, f"got {reply.shown()}")
        expect(reply.json() == {"error": _TWICE}, f"got {reply.shown()}")
        out, err = action.streams()
        expect(_TWICE in out + err, "the message is not in the log")
        action.expect_sentinels(0)


@_check("A5", "an entry point that is not called main", "BasicActionRunnerTests:211")
def _entry_point(actions: ActionServers) -> None:
    with actions.fresh() as action:
        value = {"string": "hello"}
        found = action.initialised(NAMED, main="niam").result(value)
        expect(found == value, f"got {found!r}")
        expect(action.text() == ("", ""), f"the streams are not empty: {action.text()!r}")


@_check(
    "A6", "arguments come back; text and sentinels on both streams", "BasicActionRunnerTests:233"
)
def _echo(actions: ActionServers) -> None:
    values: list[object] = [
        {"string": "hello"},
        {"string": "❄ ☃ ❄"},
        {"numbers": [42, 1]},
        {"object": {"a": "A"}},
    ]
    with actions.fresh() as action:
        action.initialised(TALKING)
        for value in values:
            found = action.result(value)
            expect(found == value, f"{value!r} came back as {found!r}")
        out, err = action.streams()
        expect("hello stdout" in out, "what was printed is not on stdout")
        expect("hello stderr" in err, "what was printed is not on stderr")
        action.expect_sentinels(len(values))


@_check("A7", "unicode in source, argument, log and result", "BasicActionRunnerTests:262")
def _unicode(actions: ActionServers) -> None:
    with actions.fresh() as action:
        found = action.initialised(UNICODE).result({"delimiter": "❄"})
        expect(found == {"winter": "❄ ☃ ❄"}, f"got {found!r}")
        expect("❄ ☃ ❄" in action.streams()[0], "the log has it not")


@_check(
    "A8", "env of /init is there before the import, empty text too", "BasicActionRunnerTests:279"
)
def _env(actions: ActionServers) -> None:
    code = """
import os
found = {name: os.environ[name] for name in ("SOME_VAR", "ANOTHER_VAR")}
def main(args):
    return found
"""
    env = {"SOME_VAR": "xyz", "ANOTHER_VAR": ""}
    with actions.fresh() as action:
        found = action.initialised(code, env=env).result({})
        expect(found == env, f"got {found!r}")


@_check("A9", "the context of /run as __OW_* variables", "BasicActionRunnerTests:307")
def _context(actions: ActionServers) -> None:
    context = {
        "api_key": "abc",
        "namespace": "zzz",
        "action_name": "xxx",
        "action_version": "0.0.1",
        "activation_id": "iii",
        "deadline": "123",
    }
    with actions.fresh({"__OW_API_HOST": "xyz"}) as action:
        found = action.initialised(CONTEXT).result({}, **context)
        expect(found == {"api_host": "xyz", **context}, f"got {found!r}")


@_check("A10", "an argument of 1,048,561 bytes", "BasicActionRunnerTests:346")
def _large(actions: ActionServers) -> None:
    with actions.fresh() as action:
        value = {"arg": "a" * _LARGE}
        expect(action.initialised().result(value) == value, "it did not come back whole")


@_check("A11", "one sentinel a call and stream, at the end of its text", "ActionContainer:74")
def _sentinels(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("def main(args):\n    print(args['n'])\n    return args\n")
        for number in range(3):
            action.result({"n": number})
        action.expect_sentinels(3)
        lines = [line for line in action.text()[0].split("\n") if line]
        expect(lines == ["0", "1", "2"], f"stdout is {lines!r}")
