"""The worst that a caller is known to be able to send, an input for each limit and server."""

import gzip
import io
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gpfn.graphpipe import InferRequest
from gpfn.graphpipe.encode import encode_request
from tests.platforms.fn.container import container

__all__ = ["ROWS", "Process", "Row", "started", "worker_of"]

MIB = 1 << 20
BODY = 6 * MIB
CODE = """
from gpfn import Function, TensorSpec
from gpfn.images.decoding import decode

NAMES = [f"x{number}" for number in range(64)]


def count(payload):
    return {"bytes": len(payload.data)}


def picture(payload):
    return {"width": decode(payload.data, (224, 224), 24_000_000).width}


def total(x):
    return [float(len(x))]


def model(x):
    return x[:1]




exec(f"def several({', '.join(NAMES)}): return [1.0]")
exec(f"def first({', '.join(NAMES[:30])}): return x0")
COLUMNS = {name: TensorSpec("float64", (None,)) for name in NAMES[:30]}
plain = Function(count, takes="payload")
pictures = Function(picture, takes="payload")
arrays = Function(total, inputs={"x": TensorSpec("float64")})
texts = Function(total, inputs={"x": TensorSpec("string")})
table = Function(first, inputs=COLUMNS, takes="rows")
many = Function(several, inputs={name: TensorSpec("float64") for name in NAMES})
"""
ADAPTERS = {"run fn": "fn", "run http": "asgi", "run openwhisk": "openwhisk"}


class Process(NamedTuple):
    """A running server."""

    pid: int
    path: str
    connect: Callable[[], socket.socket]

    def grown(self, act: Callable[[], object]) -> int:
        """Return by how many bytes its resident memory grew at most while ``act`` ran."""
        before = self._memory("VmRSS")
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        act()
        return self._memory("VmHWM") - before

    def ask(self, body: bytes, *lines: str) -> bytes:
        """Send a body on a connection of its own; return the answer."""
        return self.send(self._head(*lines, f"Content-Length: {len(body)}") + body)

    def drip(self, size: int, *lines: str) -> bytes:
        """Send a body of so many bytes with a chunk for each byte."""
        head = self._head(*lines, "Transfer-Encoding: chunked")
        return self.send(head + b"1\r\nx\r\n" * size + b"0\r\n\r\n")

    def send(self, data: bytes) -> bytes:
        """Send what is taken of ``data``; return what comes until the other side closes."""
        received = b""
        with self.connect() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # answered before its end
                connection.sendall(data)
            while piece := connection.recv(1 << 16):
                received += piece
        return received

    def _head(self, *lines: str) -> bytes:
        first = (f"POST {self.path} HTTP/1.1", "Host: a", "Connection: close")
        return "\r\n".join([*first, *lines, "", ""]).encode()

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert found, status
        return int(found[1]) << 10


@contextmanager
def started(
    server: str, function: str, folder: Path, environ: Mapping[str, str]
) -> Iterator[Process]:
    """Run a server with one of the functions above."""
    adapters = f"{function} = {function}.{ADAPTERS[server]}\n" if server in ADAPTERS else ""
    file = folder / "func.py"
    file.write_text(CODE + adapters)
    environ = {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}", **environ}
    if server == "run fn":
        with container(file, function, environ=environ) as run:
            yield Process(run.process.pid, "/call", run.connect)
        return
    words = {
        "run http": ["run", "http", str(file), function, "--port", "0"],
        "run openwhisk": ["run", "openwhisk", str(file), function, "--host=127.0.0.1", "--port=0"],
        "serve": ["serve", "-m", f"func:{function}", "-l", "127.0.0.1:0"],
    }[server]
    log = folder / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "gpfn", *words]
        variables = os.environ | environ
        popen = subprocess.Popen(command, stdout=output, stderr=output, env=variables, cwd=folder)
    try:
        port = _port(popen, log)
        connect = partial(socket.create_connection, ("127.0.0.1", port), 60)
        pid = worker_of(popen.pid) if server == "serve" else popen.pid
        yield Process(pid, "/run" if server == "run openwhisk" else "/", connect)
    finally:
        popen.kill()
        popen.wait()


def worker_of(pid: int) -> int:
    """Return the process that answers, of a server that is looked after by another one."""
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(worker)


def _port(popen: "subprocess.Popen[bytes]", log: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until and popen.poll() is None:
        text = log.read_text()
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", text)
        if found and " ready: " in text:
            return int(found[1])
        time.sleep(0.01)
    raise AssertionError(log.read_text())


class Row(NamedTuple):
    """One input: the function that it goes to, and a small one of its kind to warm up with."""

    function: str
    act: Callable[[Process], object]
    small: Callable[[Process], object] = lambda _: None
    environ: Mapping[str, str] = {}


JSON = "Content-Type: application/json"
CSV = "Content-Type: text/csv"
BYTES = "Content-Type: application/octet-stream"
BATCH = "Content-Type: application/cloudevents-batch+json"
NPY = "Content-Type: application/x-npy"
GZIP = "Content-Encoding: gzip"


def ok(answer: bytes, told: bytes = b"") -> None:
    """See that the input was computed, or refused for what it should be."""
    start = answer[:2000]
    assert told in start if told else b" 200 OK" in start and b'"error"' not in start, start


def columns(rows: int) -> bytes:
    """Return CSV of so many rows, with the names of the columns that ``table`` takes."""
    line = b"1," * 29 + b"1\n"
    return ",".join(f"x{number}" for number in range(30)).encode() + b"\n" + line * rows


def asking(body: Callable[[], bytes], *lines: str, told: bytes = b"") -> Callable[..., None]:
    """Return what sends a body, made when it is needed, and looks at the answer."""
    return lambda process: ok(process.ask(body(), *lines), told)


def listed(item: bytes, size: int = BODY) -> bytes:
    """Return a JSON array of as many items as fit into ``size`` bytes."""
    return b"[" + b",".join([item] * ((size - 2) // (len(item) + 1))) + b"]"


def nests(size: int = BODY, depth: int = 15) -> bytes:
    """Return lists in lists: nothing takes more memory for a byte of text."""
    return listed(b"[" * depth + b"1" + b"]" * depth, size)


def parameters(size: int) -> bytes:
    """Return the body of a /run with lists in lists."""
    return b'{"value":{"x":%b}}' % nests(size)


def inference(size: int = BODY - 200) -> bytes:
    """Return the Open Inference form of many numbers."""
    data = listed(b"0.1", size)
    shape = b"%d" % (data.count(b",") + 1)
    return b'{"inputs":[{"name":"x","shape":[%b],"datatype":"FP64","data":%b}]}' % (shape, data)


def events(count: int, size: int = BODY) -> bytes:
    """Return a batch of events with lists as data, ``size`` bytes in all."""
    event = b'{"specversion":"1.0","id":"%d","source":"/","type":"t","data":%b}'
    data = listed(b"[]", size // count - 80)
    return b"[" + b",".join(event % (number, data) for number in range(count)) + b"]"


def tensors(*arrays: np.ndarray) -> bytes:
    """Return a question to a model server."""
    return b"".join(encode_request(InferRequest(tensors=arrays)))


def saved(array: np.ndarray) -> bytes:
    """Return an array as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def named(count: int, size: int = BODY) -> bytes:
    """Return as many inputs by their names."""
    each = listed(b"1", size // count - 10)
    return b"{" + b",".join(b'"x%d":%b' % (number, each) for number in range(count)) + b"}"


def image(
    kind: str, mode: str, size: tuple[int, int] = (6000, 4000), **options: object
) -> Callable[[], bytes]:
    """Return what makes a file of many pixels, to be turned by its EXIF orientation."""

    def made() -> bytes:
        picture = Image.new(mode, size, (9, 9, 9, 9)[: len(mode)])
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[0x112] = 6
        picture.save(buffer, kind, exif=exif, **options)
        return buffer.getvalue()

    return made


def heads(process: Process, count: int, data: bytes) -> None:
    """Open so many connections, send something on each, and ask how the server is."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(process.connect()).sendall(data)
        time.sleep(0.5)  # until all of it was read
        ok(process.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))


def crowd(process: Process, count: int, size: int) -> None:
    """Send bodies on many connections at once, all but the last byte; count who is refused."""
    start = b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\nContent-Length: %d\r\n\r\n"
    data = start % (BYTES.encode(), size) + bytes(size - 1)
    refused = 0
    with ExitStack() as stack:
        connections = [stack.enter_context(process.connect()) for _ in range(count)]
        for connection in connections:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
        for connection in connections:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"x")
        for connection in connections:
            answer = connection.recv(1 << 16)
            refused += b" 503 " in answer and b"retry-after: " in answer.lower()
    assert 0 < refused < count, refused


def together(process: Process, count: int, body: bytes) -> None:
    """Send a body on many connections at once, and wait for all answers."""
    with ThreadPoolExecutor(count) as pool:
        for answer in pool.map(lambda _: process.ask(body, JSON), range(count)):
            ok(answer)


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n" + b"".join(
    b"x%d: %b\r\n" % (number, b"x" * 330) for number in range(190)
)
small_list = asking(lambda: b"[1]", JSON)
small_bytes = asking(lambda: b"1", BYTES)
small_action = asking(lambda: b'{"value":{"x":[1]}}', JSON)
small_tensor = asking(lambda: tensors(np.ones(4, np.uint8)), BYTES)
SIX = {"GPFN_MAX_BODY_BYTES": "6MiB"}

ROWS: Mapping[tuple[str, str, str], Row] = {
    ("GPFN_MAX_BODY_BYTES", "run fn", "bytes"): Row(
        "plain", asking(lambda: bytes(BODY), BYTES), small_bytes
    ),
    ("GPFN_MAX_BODY_BYTES", "run http", "bytes"): Row(
        "plain", asking(lambda: bytes(BODY), BYTES), small_bytes
    ),
    ("GPFN_MAX_BODY_BYTES", "serve", "bytes"): Row(
        "model",
        asking(lambda: tensors(np.zeros(BODY - 200, np.uint8)), BYTES),
        small_tensor,
        SIX,
    ),
    ("GPFN_MAX_BODY_BYTES", "run fn", "a chunk a byte"): Row(
        "plain", lambda process: ok(process.drip(BODY, BYTES)), small_bytes
    ),
    ("GPFN_MAX_BODY_BYTES", "run http", "a chunk a byte"): Row(
        "plain", lambda process: ok(process.drip(BODY, BYTES)), small_bytes
    ),
    ("GPFN_MAX_BODY_BYTES", "serve", "a chunk a byte"): Row(
        "model", lambda process: ok(process.drip(BODY, BYTES), b" 400 "), small_tensor, SIX
    ),
    ("GPFN_MAX_BODY_BYTES", "run http", "gzip of a gigabyte"): Row(
        "plain",
        asking(lambda: gzip.compress(bytes(1 << 30), 9), BYTES, GZIP, told=b" 413 "),
        asking(lambda: gzip.compress(b"1"), BYTES, GZIP),
    ),
    ("GPFN_MAX_BODY_BYTES", "serve", "gzip of a gigabyte"): Row(
        "model",
        asking(lambda: gzip.compress(bytes(1 << 30), 9), BYTES, GZIP, told=b" 413 "),
        small_tensor,
        SIX,
    ),
    ("GPFN_MAX_BODY_BYTES", "run fn", "lists in lists"): Row(
        "arrays", asking(nests, JSON), small_list
    ),
    ("GPFN_MAX_BODY_BYTES", "run http", "lists in lists"): Row(
        "arrays", asking(nests, JSON), small_list
    ),
    ("GPFN_MAX_BODY_BYTES", "run openwhisk", "lists in lists"): Row(
        "arrays", asking(lambda: parameters(MIB), JSON), small_action
    ),
    ("GPFN_MAX_BODY_BYTES", "run openwhisk", "64 MiB, which is too much"): Row(
        "arrays", asking(lambda: parameters(64 * MIB - 99), JSON, told=b"too-large"), small_action
    ),
    ("GPFN_MAX_HEADER_BYTES", "run http", "190 long headers"): Row(
        "plain",
        lambda process: ok(process.send(HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n")),
        small_bytes,
    ),
    ("GPFN_MAX_HEADERS", "run http", "16,000 short headers"): Row(
        "plain",
        lambda process: ok(process.send(HEAD[:26] + b"a:\r\n" * 16_000 + b"\r\n"), b" 431 "),
        small_bytes,
    ),
    ("GPFN_MAX_ELEMENTS", "run http", "numbers of one digit"): Row(
        "arrays", asking(lambda: listed(b"1"), JSON), small_list
    ),
    ("GPFN_MAX_ELEMENTS", "run http", "numbers in the Open Inference form"): Row(
        "arrays", asking(inference, JSON), small_list
    ),
    ("GPFN_MAX_ELEMENTS", "run http", "a .npy of int8 for float64"): Row(
        "arrays", asking(lambda: saved(np.ones(BODY - 200, np.int8)), NPY), small_list
    ),
    ("GPFN_MAX_ROWS", "run http", "CSV of 30 columns"): Row(
        "table", asking(lambda: columns(100_000), CSV), asking(lambda: columns(1), CSV)
    ),
    ("GPFN_MAX_STRING_BYTES", "run http", "texts of one letter"): Row(
        "texts", asking(lambda: listed('"é"'.encode()), JSON), asking(lambda: b'["a"]', JSON)
    ),
    ("GPFN_MAX_STRING_BYTES", "serve", "texts of one letter"): Row(
        "model",
        asking(lambda: tensors(np.full((BODY - 1000) // 12, b"ab", object)), BYTES),
        small_tensor,
        SIX,
    ),
    ("GPFN_MAX_TENSORS", "run http", "64 tensors"): Row(
        "many", asking(lambda: named(64), JSON), asking(lambda: named(64, 1600), JSON)
    ),
    ("GPFN_MAX_TENSORS", "serve", "65 tensors"): Row(
        "model",
        asking(lambda: tensors(*[np.zeros(90_000, np.uint8)] * 65), BYTES, told=b" 413 "),
        small_tensor,
        SIX,
    ),
    ("GPFN_MAX_RANK", "run http", "lists in lists, 1,000 deep"): Row(
        "arrays", asking(lambda: nests(depth=1000), JSON, told=b" 413 "), small_list
    ),
    ("GPFN_MAX_PIXELS", "run http", "a JPEG"): Row("pictures", asking(image("JPEG", "RGB"), BYTES)),
    ("GPFN_MAX_PIXELS", "run http", "a progressive JPEG"): Row(
        "pictures", asking(image("JPEG", "RGB", progressive=True), BYTES)
    ),
    ("GPFN_MAX_PIXELS", "run http", "a PNG with transparency"): Row(
        "pictures", asking(image("PNG", "RGBA"), BYTES)
    ),
    ("GPFN_MAX_PIXELS", "run http", "a WebP with transparency"): Row(
        "pictures", asking(image("WebP", "RGBA", (2800, 2000), lossless=True), BYTES)
    ),
    ("GPFN_MAX_BATCH", "run http", "1,000 events of lists"): Row(
        "plain", asking(lambda: events(1000), BATCH), asking(lambda: events(2, 300), BATCH)
    ),
    ("GPFN_MAX_CONNECTIONS", "run http", "1,000 that send nothing"): Row(
        "plain", lambda process: heads(process, 1000, b""), small_bytes
    ),
    ("GPFN_MAX_CONNECTIONS", "run http", "1,000 with half of a head"): Row(
        "plain", lambda process: heads(process, 1000, HEAD), small_bytes
    ),
    ("GPFN_THREADS", "run http", "12 calls with lists in lists"): Row(
        "arrays",
        lambda process: together(process, 12, nests()),
        small_list,
        {"GPFN_THREADS": "4"},
    ),
    ("GPFN_MAX_INFLIGHT_BYTES", "run http", "20 bodies of 6 MiB"): Row(
        "plain",
        lambda process: crowd(process, 20, BODY),
        small_bytes,
        {"GPFN_MAX_INFLIGHT_BYTES": "64MiB"},
    ),
    ("GPFN_MAX_INFLIGHT_BYTES", "serve", "20 bodies of 6 MiB"): Row(
        "model",
        lambda process: crowd(process, 20, BODY),
        small_tensor,
        {**SIX, "GPFN_MAX_INFLIGHT_BYTES": "64MiB"},
    ),
}
