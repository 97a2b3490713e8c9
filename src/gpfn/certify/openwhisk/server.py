"""The checks C, D and E: an image's own code, refusals, and life under the platform.

C  what OpenWhisk asks of an image with built-in code (the docker skeleton)
D  how /init and /run refuse, and archives other than zip (the Go proxy's tests)
E  what a server needs to survive under the platform: limits, concurrency, logs
"""

import base64
import threading
from collections.abc import Sequence

from gpfn.certify.check import Checklist, expect, not_applicable
from gpfn.certify.openwhisk.action import ECHO, ActionServer, ActionServers, tarred, zipped
from gpfn.certify.wire import ServerReply
from gpfn.errors import BackendError

__all__ = ["CHECKS"]

_check: Checklist[ActionServers] = Checklist()
CHECKS = _check.checks

_EXEC = '#!/bin/sh\necho \'{"msg": "hello zip"}\'\n'
_PARALLEL = """
import sys, time
def main(args):
    time.sleep(0.05)
    if args["n"] == args.get("raise"):
        raise ValueError("this one")
    if args["n"] == args.get("exit"):
        sys.exit(1)
    return {"n": args["n"]}
"""


def _expect_object(action: ActionServer) -> None:
    reply = action.post("/run", {})
    expect(reply.status == 200, f"/run answered {reply.shown()}")
    expect(isinstance(reply.json(), dict), f"/run answered {reply.shown()}")


def _built_in(actions: ActionServers) -> None:
    """End the check as not applicable unless /init succeeds without code."""
    with actions.fresh() as action:
        if action.post("/init", {}).status != 200:
            not_applicable("the server brings no code of its own")


@_check("C1", "built-in code runs without /init", "ActionProxyContainerTests:170")
def _without_init(actions: ActionServers) -> None:
    _built_in(actions)
    with actions.fresh() as action:
        _expect_object(action)
        action.expect_sentinels(1)


@_check("C2", "built-in code runs after /init with code null", "ActionProxyContainerTests:183")
def _null_code(actions: ActionServers) -> None:
    _built_in(actions)
    with actions.fresh() as action:
        action.init(None, env=None)
        _expect_object(action)


@_check("C3", "built-in code runs after /init {}", "ActionProxyContainerTests:198")
def _empty_init(actions: ActionServers) -> None:
    _built_in(actions)
    with actions.fresh() as action:
        action.post("/init", {})
        _expect_object(action)


@_check("C4", "an argument that is a text: refused, and sentinels", "ActionProxyContainerTests:213")
def _text(actions: ActionServers) -> None:
    """The skeleton says 404; runtimes that take code have other statuses for it."""
    with actions.fresh() as action:
        reply = action.initialised().run("A")
        document = reply.json()
        refused = isinstance(document, dict) and "error" in document
        expect(reply.status != 200 and refused, f"got {reply.shown()}")
        action.expect_sentinels(1)


@_check("C5", "a zip with a program called exec", "ActionProxyContainerTests:244")
def _exec(actions: ActionServers) -> None:
    with actions.fresh() as action:
        code = zipped({"exec": _EXEC}, {"exec": 0o755})
        if action.init(code, binary=True).status != 200:
            not_applicable("the server takes Python, not programs")
        found = action.result({})
        expect(found == {"msg": "hello zip"}, f"got {found!r}")


@_check("D1", "a tar.gz of code", "runtime-go CHANGES 1.22.0; extractor_test")
def _tar(actions: ActionServers) -> None:
    files = {"__main__.py": "from echo import main\n", "echo.py": ECHO}
    with actions.fresh() as action:
        found = action.initialised(tarred(files), binary=True).result({"a": 1})
        expect(found == {"a": 1}, f"got {found!r}")


@_check("D2", "source that came as base64", "Exec.scala:358; extractor.go:50")
def _base64_source(actions: ActionServers) -> None:
    code = base64.b64encode(ECHO.encode()).decode()
    with actions.fresh() as action:
        found = action.initialised(code, binary=True).result({"a": 1})
        expect(found == {"a": 1}, f"got {found!r}")


@_check("D3", "a main that is not there: 502", "initHandler.go:132; compiler_test")
def _no_such_main(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init(ECHO, main="absent")
        expect(reply.status == 502, f"got {reply.shown()}")


@_check("D4", "/init with what is no JSON: 400", "initHandler.go:83")
def _broken_init(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.post("/init", b"{")
        expect(reply.status == 400, f"got {reply.shown()}")


@_check("D5", "/init with what is no base64: 400", "initHandler.go:107")
def _broken_base64(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init("no base64!", binary=True)
        expect(reply.status == 400, f"got {reply.shown()}")


@_check("D6", "/run before /init: 500, or built-in code runs", "runHandler.go:57")
def _run_first(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.run({})
        expect(reply.status in (200, 500), f"got {reply.shown()}")
        expect(isinstance(reply.json(), dict), f"got {reply.shown()}")


@_check("D7", "a failed /init ends the log with sentinels", "initHandler.go:123")
def _sentinels_after_failure(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init("import iamnotsupported\n")
        expect(reply.status != 200, f"got {reply.shown()}")
        action.expect_sentinels(1)


@_check("D8", "a zip whose code is called exec", "python3Action/bin/compile:44")
def _called_exec(actions: ActionServers) -> None:
    with actions.fresh() as action:
        code = zipped({"exec": "from echo import main\n", "echo.py": ECHO})
        found = action.initialised(code, binary=True).result({"a": 1})
        expect(found == {"a": 1}, f"got {found!r}")


@_check("D9", "a result of None: null with 200, or refused; it lives on", "runHandler.go:84")
def _none(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("def main(args):\n    return args.get('a')\n")
        reply = action.run({})
        told = reply.status == 502 or (reply.status == 200 and reply.json() is None)
        expect(told, f"got {reply.shown()}")
        found = action.result({"a": {"b": 1}})
        expect(found == {"b": 1}, f"the next call gave {found!r}")


@_check("D10", "variables of /init that are no text: as JSON", "actionProxy.go:95")
def _odd_variables(actions: ActionServers) -> None:
    code = "import os\ndef main(args):\n    return {name: os.environ[name] for name in 'ABCD'}\n"
    with actions.fresh() as action:
        env = {"A": None, "B": True, "C": 5, "D": {"e": [1]}}
        found = action.initialised(code, env=env).result({})
        texts = {"A": "null", "B": "true", "C": "5", "D": '{"e":[1]}'}
        expect(found == texts, f"got {found!r}")


def _all_at_once(
    action: ActionServer, values: Sequence[dict[str, object]]
) -> dict[object, ServerReply]:
    """Run all values at once, each in a thread; a call without an answer is missing."""
    replies: dict[object, ServerReply] = {}

    def call(value: dict[str, object]) -> None:
        try:
            replies[value["n"]] = action.run(value)
        except BackendError:
            return  # its number is missing from the replies, which the check then names

    threads = [threading.Thread(target=call, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def _expect_own_results(replies: dict[object, ServerReply], numbers: Sequence[int]) -> None:
    for number in numbers:
        expect(number in replies, f"call {number} got no answer")
        reply = replies[number]
        own = reply.status == 200 and reply.json() == {"n": number}
        expect(own, f"call {number} got {reply.shown()}")


_MIXES = "mixes calls at once up, and OpenWhisk sends it one at a time"


@_check(
    "E1",
    "calls at once: each gets its own result",
    "ConcurrencyTests:56; __OW_ALLOW_CONCURRENT",
    stricter=_MIXES,
)
def _concurrent(actions: ActionServers) -> None:
    with actions.fresh({"__OW_ALLOW_CONCURRENT": "true"}) as action:
        action.initialised(_PARALLEL)
        replies = _all_at_once(action, [{"n": number} for number in range(5)])
        _expect_own_results(replies, range(5))


@_check(
    "E2",
    "one that fails among them costs the others nothing",
    "ConcurrencyTests:96",
    stricter=_MIXES,
)
def _concurrent_failure(actions: ActionServers) -> None:
    with actions.fresh({"__OW_ALLOW_CONCURRENT": "true"}) as action:
        action.initialised(_PARALLEL)
        replies = _all_at_once(action, [{"n": number, "raise": 2} for number in range(5)])
        _expect_own_results(replies, (0, 1, 3, 4))


@_check("E3", "100 calls leave no file open", "nofile 1024, DockerContainer.scala:91")
def _files(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised()
        for _ in range(5):
            action.result({})
        before = action.running.open_files()
        for _ in range(100):
            action.result({})
        after = action.running.open_files()
        expect(after <= before + 2, f"{before} files were open, and {after} after 100 calls")


@_check(
    "E4", "a megabyte of log arrives whole, before the answer", "ActionLimitsTests; exec.scala:195"
)
def _heavy_log(actions: ActionServers) -> None:
    code = (
        "def main(args):\n    for n in range(10000):\n        print(n, 'x' * 95)\n    return {}\n"
    )
    with actions.fresh() as action:
        action.initialised(code).result({})
        out, _ = action.running.streams()  # at once: the invoker does not wait for images
        lines = [line.split()[0] for line in out.splitlines() if line.endswith("x")]
        expect(lines == [str(n) for n in range(10000)], f"{len(lines)} of 10000 lines arrived")


@_check(
    "E5", "time, memory and log limits; cut results; 48 MB of code", "ActionLimitsTests:177-483"
)
def _of_the_platform(_: ActionServers) -> None:
    not_applicable("the platform enforces these itself, whatever the server does")
