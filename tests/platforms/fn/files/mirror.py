"""Handlers of the FDK's kind, one for each thing that they may do."""

import asyncio
import io
import json
import os
import sys
import time

KEPT = []


def handler(ctx, data=None):
    return data.getvalue()


def seen(ctx, data=None):
    """Return everything the context tells."""
    return {
        "AppID": ctx.AppID(),
        "AppName": ctx.AppName(),
        "FnID": ctx.FnID(),
        "FnName": ctx.FnName(),
        "CallID": ctx.CallID(),
        "Config": ctx.Config().get("GREETING"),
        "Headers": ctx.Headers(),
        "HTTPHeaders": ctx.HTTPHeaders(),
        "Format": ctx.Format(),
        "Deadline": ctx.Deadline(),
        "RequestURL": ctx.RequestURL(),
        "Method": ctx.Method(),
        "body": data.read().decode("latin-1"),
    }


RESULTS = {
    "none": None,
    "text": "caf\xe9",
    "empty": "",
    "bytes": b"\0\1",
    "bytearray": bytearray(b"ab"),
    "memoryview": memoryview(b"abcd")[1:3],
    "stream": io.BytesIO(b"stream"),
    "dict": {"a": [1, None]},
    "nothing": {},
    "list": [],
    "zero": 0,
    "false": False,
    "object": object(),
    "nan": float("nan"),
    "bytes inside": {"a": b"x"},
}


def returns(ctx, data=None):
    return RESULTS[data.getvalue().decode()]


def sets(ctx, data=None):
    """Set headers and a status as the body says."""
    wanted = json.loads(data.getvalue())
    ctx.SetResponseHeaders(wanted["headers"], wanted.get("status", 200))
    assert set(ctx.GetResponseHeaders()) == {name.lower() for name in wanted["headers"]}
    return "done"


async def later(ctx, data=None):
    await asyncio.sleep(0.001)
    return data.getvalue()[::-1]


class Strange(BaseException):
    pass


def fails(ctx, data=None):
    match data.getvalue():
        case b"exit":
            sys.exit(3)
        case b"strange":
            raise Strange("odd")
        case b"interrupt":
            raise KeyboardInterrupt
        case b"timeout":
            raise TimeoutError("too slow")
        case b"value":
            raise ValueError("secret")
        case b"caller":
            from gpfn.errors import InvalidTensor

            raise InvalidTensor("expected 20 numbers, got 19", field="data[0]")
        case b"backend":
            from gpfn.errors import CannotConnect

            raise CannotConnect("nobody there")
        case other:
            return other


def sleeps(ctx, data=None):
    print("begun")
    time.sleep(float(data.getvalue()))
    return "woken"


class Unprintable(Exception):
    def __str__(self):
        raise KeyError("again")


def destroys(ctx, data=None):
    """Leave things behind that a log may stumble over."""
    match data.getvalue():
        case b"closed":
            sys.stdout.close()
        case b"gone":
            sys.stdout = None
        case b"odd":
            sys.stdout = object()
        case b"raise":
            raise Unprintable
    print("heard")
    return "fine"


def pid(ctx, data=None):
    return str(os.getpid())
