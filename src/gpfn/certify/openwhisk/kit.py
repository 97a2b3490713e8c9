"""F: what no suite of OpenWhisk's asks for, and calls depend on all the same."""

import time

from gpfn.certify.check import Checklist, expect
from gpfn.certify.openwhisk.action import ECHO, HEADERS, SENTINEL, ActionServer, ActionServers
from gpfn.certify.wire import ServerReply

__all__ = ["CHECKS"]

_check: Checklist[ActionServers] = Checklist()
CHECKS = _check.checks

_MIB = 1 << 20
_STRANGE = """
import datetime
async def other():
    return {}
def numpy_array():
    try:
        import numpy
        return numpy.zeros(2)
    except ImportError:
        return object()
makers = {
    "bytes": lambda: {"a": b"x"},
    "set": lambda: {"a": {1}},
    "NaN": lambda: {"a": float("nan")},
    "datetime": lambda: {"a": datetime.datetime.now()},
    "numpy array": lambda: {"a": numpy_array()},
    "coroutine": other,
    "generator": lambda: {"a": (x for x in [1])},
    "None": lambda: None,
    "half a character": lambda: {"a": "\\ud800"},
}
def main(args):
    make = makers.get(args.get("kind"))
    return {"alive": True} if make is None else make()
"""
_KINDS = ("bytes", "set", "NaN", "datetime", "numpy array", "coroutine", "generator", "None")


@_check(
    "F1",
    "every reply has a Content-Length, and is not compressed",
    "ApacheBlockingContainerClient:130",
)
def _framing(actions: ActionServers) -> None:
    with actions.echoing() as action:
        _expect_framed("/run", action.post("/run", {"value": {}}, **{"Accept-Encoding": "gzip"}))
        _expect_framed("/run with a text", action.run("text"))
        _expect_framed("a second /init", action.init(ECHO))
    if actions.subject.kind != "url":
        with actions.fresh() as action:
            _expect_framed("/init that fails", action.init("import iamnotsupported\n"))
            _expect_framed("/init", action.init(ECHO))


def _expect_framed(what: str, reply: ServerReply) -> None:
    expect(reply.framing == "length", f"{what}: the reply's end is told by {reply.framing}")
    encoding = reply.headers.get("content-encoding", "identity")
    expect(encoding == "identity", f"{what}: the reply is compressed ({encoding})")
    expect(reply.body or reply.status != 200, f"{what}: the reply is empty")


@_check(
    "F2",
    "no arguments: /run null, {} and value null",
    "container tests send all three",
    stricter="ends over a /run of null",
)
def _nothing(actions: ActionServers) -> None:
    with actions.echoing() as action:
        for body in (b"null", b"{}", b'{"value":null}'):
            reply = action.post("/run", body)
            document = reply.json()
            ok = isinstance(document, dict) and (reply.status == 200 or "error" in document)
            expect(ok, f"{body.decode()} was answered {reply.shown()}")
        action.expect_alive()


@_check(
    "F3",
    "a deadline that is a number",
    "actions-new.md:201 says so, the controller sends text",
    stricter="ends over it",
)
def _numeric_deadline(actions: ActionServers) -> None:
    with actions.echoing() as action:
        for deadline in (int(1000 * (time.time() + 60)), 1.5, None):
            reply = action.run({}, deadline=deadline, activation_id="i")
            expect(reply.status == 200, f"deadline {deadline!r} was answered {reply.shown()}")


@_check(
    "F4",
    "results that JSON cannot hold: a clean error, and it lives on",
    "launcher.py:53-73",
    stricter="ends over them",
)
def _strange_results(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised(_STRANGE)
        for kind in _KINDS:
            reply = action.run({"kind": kind})
            document = reply.json()
            told = isinstance(document, dict) or (kind == "None" and document is None)
            expect(told, f"{kind} was answered {reply.shown()}")
            found = action.result({})
            expect(found == {"alive": True}, f"after {kind}, a good call gave {found!r}")


@_check(
    "F5", "an exception costs no container: 200", "ActivationResult.scala:219: else it is destroyed"
)
def _exception_is_cheap(actions: ActionServers) -> None:
    with actions.fresh() as action:
        action.initialised("def main(args):\n    return {'a': 1 / args['by']}\n")
        reply = action.run({"by": 0})
        expect(reply.status == 200, f"got {reply.shown()}")
        found = action.result({"by": 1})
        expect(found == {"a": 1.0}, f"the next call gave {found!r}")


@_check(
    "F6",
    "text without a line break before the sentinel",
    "DockerContainer.scala:356: else it is lost",
    stricter="writes the sentinel into that line",
)
def _mid_line(actions: ActionServers) -> None:
    code = """
import sys
def main(args):
    sys.stdout.write("no end")
    sys.stderr.write("no end")
    return {}
"""
    with actions.fresh() as action:
        action.initialised(code).result({})
        for name, text in zip(("stdout", "stderr"), action.streams(), strict=True):
            expect(text.endswith(f"no end\n{SENTINEL}\n"), f"{name} is {text!r}")


@_check(
    "F7",
    "text of a thread that is late leaves the sentinels whole",
    "docs/intra-concurrency.md",
    stricter="writes the sentinel into that text",
)
def _late_thread(actions: ActionServers) -> None:
    code = """
import sys, threading, time
def late():
    for _ in range(100):
        sys.stdout.write("late")
        time.sleep(0.002)
def main(args):
    if args:
        threading.Thread(target=late).start()
    return {}
"""
    with actions.fresh() as action:
        action.initialised(code).result({"a": 1})
        for _ in range(10):
            time.sleep(0.02)
            action.result({})
        time.sleep(0.1)
        action.result({})
        action.expect_sentinels(12)
        out = action.text()[0].replace("\n", "")
        expect(out == "late" * 100, f"of 400 letters {len(out)} arrived")


@_check("F8", "frozen between calls", "pause-grace 10 s, ContainerProxy.scala:508")
def _frozen(actions: ActionServers) -> None:
    with actions.echoing() as action:
        for number in range(3):
            action.result({"n": number})
            action.running.freeze()
            time.sleep(0.05)
            action.running.thaw()
        action.result({})


@_check("F9", "a result of 1,048,576 bytes, and one byte more", "ActivationResult.scala:246")
def _edge(actions: ActionServers) -> None:
    code = "def main(args):\n    return {'a': 'x' * args['size']}\n"
    with actions.fresh() as action:
        action.initialised(code)
        size = _MIB - len('{"a": ""}')
        found = action.result({"size": size})
        expect(found == {"a": "x" * size}, "1 MiB did not come back whole")
        reply = action.run({"size": size + 2})
        expect(isinstance(reply.json(), dict), f"one byte more was answered {reply.shown()}")
        action.result({"size": 1})


@_check("F10", "/init again after one that failed", "initHandler.go:55 refuses only after success")
def _again(actions: ActionServers) -> None:
    with actions.fresh() as action:
        reply = action.init("import iamnotsupported\n")
        expect(reply.status != 200, f"got {reply.shown()}")
        found = action.initialised().result({"a": 1})
        expect(found == {"a": 1}, f"got {found!r}")


@_check("F11", "keys and the caller's Authorization are never in the log", "Triggers.scala:160")
def _secrets(actions: ActionServers) -> None:
    with actions.echoing() as action:
        value = {"__ow_method": "post", "__ow_headers": {"authorization": "Basic s3cret-key"}}
        for argument in (value, "text", None):
            action.post(
                "/run", {"value": argument, "api_key": "s3cret-key"}, Authorization="s3cret-key"
            )
        expect("s3cret-key" not in "".join(action.streams()), "the log has them")


@_check(
    "F12",
    "a connection that says nothing holds nobody up",
    "one in-flight /run, but not one connection",
)
def _silent(actions: ActionServers) -> None:
    with actions.echoing() as action:
        silent = action.connect()
        silent.connect()
        try:
            action.result({})
        finally:
            silent.close()


@_check(
    "F13",
    "asked to end, it answers what runs and refuses the rest",
    "503: ActivationResult.scala:140",
    stricter="breaks off, and OpenWhisk kills without asking",
)
def _ending(actions: ActionServers) -> None:
    code = """
import time
def main(args):
    print("begun", flush=True)
    time.sleep(0.5)
    return args
"""
    with actions.fresh() as action:
        action.initialised(code)
        connection = action.connect()
        connection.post("/run", b'{"value":{"a":1}}', HEADERS)
        _wait_for(action, "begun")
        action.running.terminate()
        reply = connection.reply()
        ok = reply.status == 200 and reply.json() == {"a": 1}
        expect(ok or reply.status == 503, f"the running call got {reply.shown()}")


def _wait_for(action: ActionServer, text: str) -> None:
    end = time.monotonic() + 10
    while text not in action.running.streams()[0]:
        expect(time.monotonic() < end, f"{text!r} did not appear on stdout")
        time.sleep(0.01)
