"""`gpfn serve` with models of a few lines, raw requests to it, and who asks it all the time."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FUNCTIONS", "ModelServer", "Prober", "Reply", "put_functions", "served", "tensor"]

CODE = '''
import os
import time

import numpy as np

from gpfn.models.python import declare
from gpfn.tensors.spec import TensorSpec

X = TensorSpec("float32", (None, 2), "x")
S = TensorSpec("string", (None,), "s")
N = TensorSpec("int64", (None,), "n")
kept = []


@declare({"x": X}, {"y": X})
def double(x):
    return x * 2


@declare({"x": X}, {"y": X, "n": N})
def both(x):
    return {"y": x * 2, "n": np.arange(len(x))}


@declare({"s": S}, {"t": S})
def echo(s):
    return s


@declare({"x": X}, {"y": X})
def raises(x):
    if x.any():  # as all but the warm-up's
        raise RuntimeError("secret of /etc/passwd")
    return x


@declare({"x": X}, {"y": X})
def leaves(x):
    if x.any():
        raise SystemExit(3)
    return x


@declare({"x": X}, {"y": X})
def less(x):
    """Gives a row less than it was given."""
    return x[:-1]


@declare({"x": X}, {"y": X})
def bent(x):
    """Gives another shape than it declares."""
    return x.reshape(-1)


@declare({"x": X}, {"y": X})
def lone(x):
    """Gives one value for all rows."""
    return x.sum()


@declare({"x": X}, {"y": X})
def picky(x):
    """Raises for a negative number, whoever sent it."""
    if (x < 0).any():
        raise ValueError("a negative number")
    return x * 2


@declare({"x": X}, {"y": X})
def grows(x):
    """Takes the memory that it is asked for, in MiB."""
    kept.append(np.ones(int(x[0, 0]) << 17))
    return x


@declare({"x": X}, {"y": X})
def hangs(x):
    """Sleeps as many seconds as it is asked for."""
    time.sleep(float(x[0, 0]))
    return x


@declare({"x": X}, {"y": X})
def dies(x):
    """Ends its process where it is asked to."""
    if x[0, 0] == 666:
        os._exit(66)
    return x


@declare({"x": X}, {"y": X})
def infinite(x):
    return x * np.float32(np.inf)


@declare({"x": X}, {"y": X})
def strange(x):
    """Gives what is no tensor."""
    return np.array([object()] * len(x))


def free(x):
    """Declares nothing."""
    return x
'''
FUNCTIONS = re.findall(r"^def (\w+)\(", CODE, re.MULTILINE)


def put_functions(folder: Path, *names: str, **serving: object) -> Path:
    """Write functions as models of a folder; ``serving`` is what model.toml says."""
    for name in names:
        home = folder / name / "1"
        home.mkdir(parents=True)
        (home / "model.py").write_text(CODE)
        lines = [f'model = "model.py:{name}"', "[serving]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in serving.items()]
        (home / "model.toml").write_text("\n".join(lines) + "\n")
    return folder


def tensor(
    name: str = "x",
    datatype: str = "FP32",
    shape: object = (1, 2),
    data: object = (1, 2.5),
    **more: object,
) -> dict[str, object]:
    """Return an input in the Open Inference form; None leaves ``data`` out."""
    entry = {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}
    return {key: value for key, value in entry.items() if value is not None}


class Reply(NamedTuple):
    """An answer: its status, its headers with names in lower case, and its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """What an error's document says; the whole body has to be one."""
        assert self.status >= 400, self
        assert self.headers["content-type"] == "application/json", self
        document = json.loads(self.body)
        assert [*document] == ["error"], self
        assert isinstance(document["error"], str)
        assert document["error"].strip()
        return document["error"]


class ModelServer(NamedTuple):
    """A running server."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def ask(self, path: str, body: object = None, method: str = "", **headers: str) -> Reply:
        """Ask on a connection of its own; what is no bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method or ("GET" if data is None else "POST"), path, data, named)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return _reply(reply, content)

    def send(self, data: bytes, timeout: float = 60) -> Reply:
        """Send raw bytes, as far as they are taken, and read one answer."""
        with self.connect(timeout) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # answered before its end
                connection.sendall(data)
            method = data.split(b" ", 1)[0].decode("latin-1")
            reply = http.client.HTTPResponse(connection, method=method)
            reply.begin()
            return _reply(reply, reply.read())

    def connect(self, timeout: float = 60) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def infer(self, model: str, rows: object, **headers: str) -> Reply:
        """Ask a model whose input is x over Open Inference."""
        array = np.asarray(rows, np.float32)
        entry = tensor(shape=array.shape, data=array.ravel().tolist())
        return self.ask(f"/v2/models/{model}/infer", {"inputs": [entry]}, **headers)

    def rows(self, model: str, rows: object) -> Any:
        """Return what a model gives for rows; it has to answer."""
        reply = self.infer(model, rows)
        assert reply.status == 200, reply
        (output,) = [one for one in json.loads(reply.body)["outputs"] if one["name"] == "y"]
        return np.reshape(output["data"], output["shape"]).tolist()

    def resident(self) -> int:
        """Return its resident memory in bytes, that of its workers as well."""
        pids = [self.process.pid, *self.children()]
        return sum(_status(pid, "VmRSS") for pid in pids)

    def children(self) -> list[int]:
        """Return the processes that it has started."""
        pid = self.process.pid
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def descriptors(self) -> int:
        """Return how many files it and its workers have open."""
        pids = [self.process.pid, *self.children()]
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)

    def wait(self, text: str, seconds: float = 60) -> None:
        """Wait until its log has a text."""
        until = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)


def _reply(reply: http.client.HTTPResponse, body: bytes) -> Reply:
    headers = {name.lower(): value for name, value in reply.getheaders()}
    return Reply(reply.status, headers, body)


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1]) << 10


@contextmanager
def served(
    log: Path, *words: str, environ: Mapping[str, str] = {}, ends_well: bool = True
) -> Iterator[ModelServer]:
    """Run `gpfn serve` until it is ready; it has to end in order, and without a trace of ours."""
    command = [sys.executable, "-m", "gpfn", "serve", "-l", "127.0.0.1:0", *words]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environ}
        )
    try:
        yield ModelServer(process, _port(process, log), log)
        if ends_well:
            process.terminate()
            assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", log.read_text())
        if found and _is_ready(int(found[1])):
            return int(found[1])
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with suppress(OSError):
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    return False


class Prober:
    """Asks a model that doubles all the time; every answer has to be the right one."""

    def __init__(self, server: ModelServer, model: str = "double") -> None:
        self._server = server
        self._model = model
        self.wrong: list[object] = []
        self.slowest = 0.0
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.count, "it asked"
        assert self.wrong == []

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        path = f"/v2/models/{self._model}/infer"
        while not self._stop.is_set():
            self.count += 1
            values = [float(self.count), float(-self.count)]
            began = time.monotonic()
            try:
                connection.request("POST", path, json.dumps({"inputs": [tensor(data=values)]}))
                reply = connection.getresponse()
                content = reply.read()
                found = json.loads(content)["outputs"][0]["data"]
            except Exception as error:
                self.wrong.append(error)
                return
            self.slowest = max(self.slowest, time.monotonic() - began)
            if found != [2 * value for value in values]:
                self.wrong.append(content)
            time.sleep(0.002)
