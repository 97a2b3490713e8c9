"""How many files one warm call passes through, and how often it goes from one to another.

A function of arrays runs under each runner as its platform starts it, and is called with one
structured event of a window (1, 20, 1). After some calls the function has the interpreter
note every Python function that is entered (``sys.setprofile``), from its own return in one
call to its entry in the next: that is the second half of one call and the first of another.
Counted are the files, ours and others', the switches from a file to another one between two
entries, the entries, and how often JSON is read and written. Nothing is timed, so the figures
are the same on every machine.

    python benchmarks/call_path.py [--quick] [--json FILE] [--list]
"""

import argparse
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

__all__ = ["main"]

GPFN = str(Path(sys.executable).parent / "gpfn")
WARM = 30
PATIENCE = 60.0
GOALS = {"files": 22, "switches": 55}

FUNCTION = """
import json, sys
from gpfn import Function, TensorSpec

entries, codecs, count = [], [], 0

def note(frame, event, arg):
    if event == "call":
        entries.append((frame.f_code.co_filename, frame.f_code.co_name))
        if frame.f_code.co_filename.endswith("json/__init__.py"):
            codecs.append(frame.f_code.co_name)
    elif event == "c_call" and getattr(arg, "__module__", None) == "orjson":
        codecs.append(arg.__name__)

def double(x):
    global count
    count += 1
    if count == {warm}:
        sys.setprofile(note)
    elif count == {warm} + 1:
        sys.setprofile(None)
        with open({out!r}, "w") as file:
            json.dump({{"entries": entries[:-1], "codecs": codecs}}, file)
    return x * 2

function = Function(double, inputs={{"x": TensorSpec("float32", (None, 20, 1))}}, name="double")
handler, main = function.fn, function.openwhisk
"""

EVENT = {
    "specversion": "1.0",
    "id": "b7e2",
    "source": "/stations/7",
    "type": "com.example.window",
    "datacontenttype": "application/json",
    "data": [[[float(step)] for step in range(20)]],
}


def main(argv: Sequence[str] | None = None) -> int:
    """Trace a call under both runners and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="the same run: nothing is timed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    parser.add_argument("--list", action="store_true", help="list the files with their entries")
    args = parser.parse_args(argv)
    found: list[dict[str, Any]] = []
    for name, call in (("Fn", call_fn), ("OpenWhisk", call_openwhisk)):
        trace = traced(call)
        if args.list:
            show(name, trace)
        found += figures(name, trace)
    text = json.dumps(found, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    elif not args.list:
        print(text)
    return 0


def figures(name: str, trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of one runner."""
    files = [file for file, _ in trace["entries"]]
    switches = sum(one != other for one, other in pairwise(files))
    codecs = Counter("loads" if "load" in codec else "dumps" for codec in trace["codecs"])
    values = {"files": len(set(files)), "switches": switches, "entries": len(files), **codecs}
    words = {"switches": "switches between files", "entries": "Python functions entered"}
    words |= {"loads": "JSON texts read", "dumps": "JSON texts written"}
    return [
        {
            "what": f"{name} runner, warm call with one event, {words.get(kind, kind)}",
            "value": value,
            "unit": "",
            "peer": None,
            "ratio": None,
            "goal": f"≤ {GOALS[kind]}" if kind in GOALS else None,
            "ok": value <= GOALS[kind] if kind in GOALS else None,
        }
        for kind, value in values.items()
    ]


def show(name: str, trace: dict[str, Any]) -> None:
    """Print what a call enters, file by file."""
    print(f"{name}:")
    for file, count in Counter(file for file, _ in trace["entries"]).items():
        names = dict.fromkeys(entry for other, entry in trace["entries"] if other == file)
        print(f"{count:5} {file.rpartition('/src/')[2]}: {', '.join(names)}")
    print(f"      JSON: {', '.join(trace['codecs'])}")


def traced(call: Callable[[Path, int], None]) -> dict[str, Any]:
    """Return what one call of a fresh runner enters."""
    with tempfile.TemporaryDirectory(prefix="path-", dir="/tmp") as name:
        folder = Path(name)
        out = folder / "trace.json"
        (folder / "func.py").write_text(FUNCTION.format(warm=WARM, out=str(out)))
        call(folder, WARM + 1)
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def call_fn(folder: Path, calls: int) -> None:
    """Call the function in ``folder`` under Fn's contract, over one connection."""
    path = folder / "lsnr.sock"
    environ = {**os.environ, "FN_LISTENER": f"unix:{path}", "FN_FORMAT": "http-stream"}
    body = json.dumps(EVENT).encode()
    head = "POST /call HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    head += (
        "Content-Type: text/plain\r\nFn-Call-Id: 01H\r\nFn-Deadline: 2096-02-29T23:59:59Z\r\n\r\n"
    )
    request = head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with started([GPFN, "run", "fn", str(folder / "func.py")], folder, environ) as runner:
        wait(path.exists, runner)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            for _ in range(calls):
                connection.sendall(request)
                response = http.client.HTTPResponse(connection, method="POST")
                response.begin()
                expect(response.status, response.read())


def call_openwhisk(folder: Path, calls: int) -> None:
    """Call the function in ``folder`` under OpenWhisk's contract, over one connection."""
    command = [GPFN, "run", "openwhisk", str(folder / "func.py"), "--host", "127.0.0.1"]
    log = folder / "log"
    where: list[str] = []

    def listens() -> bool:
        where[:] = re.findall(r"listening on http://[^\s:]+:(\d+)", log.read_text())
        return bool(where)

    with started([*command, "--port", "0"], folder, dict(os.environ)) as runner:
        wait(listens, runner)
        connection = http.client.HTTPConnection("127.0.0.1", int(where[0]))
        headers = {"Content-Type": "application/json"}
        context = {"activation_id": "a1", "deadline": "3981484799000", "action_name": "/_/double"}
        connection.request("POST", "/init", b'{"value": {}}', headers)
        connection.getresponse().read()
        for _ in range(calls):
            connection.request("POST", "/run", json.dumps({"value": EVENT, **context}), headers)
            response = connection.getresponse()
            expect(response.status, response.read())


def expect(status: int, body: bytes) -> None:
    """Stop where an answer is not the doubled window."""
    answer = json.loads(body)
    assert (status, answer["data"]) == (200, [[[2.0 * step] for step in range(20)]]), answer


def started(
    command: Sequence[str], folder: Path, environ: dict[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a runner whose output goes to a file; leaving the context ends it."""
    with (folder / "log").open("wb") as log:
        return Runner(command, cwd=folder, env=environ, stdout=log, stderr=log)


class Runner(subprocess.Popen[bytes]):
    """A process that is told to end when it is left."""

    def __exit__(self, *exception: object) -> None:
        self.terminate()
        super().__exit__(*exception)  # type: ignore[arg-type]


def wait(ready: Callable[[], bool], runner: "subprocess.Popen[bytes]") -> None:
    """Wait until a runner can be called."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if runner.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the runner did not start: exit code {runner.poll()}")
        time.sleep(0.01)


if __name__ == "__main__":
    raise SystemExit(main())
