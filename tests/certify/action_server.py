"""A small right server of actions on Python's standard library, for the wrong ones to spoil.

It keeps OpenWhisk's contract as far as the checklist asks; nothing of gpfn is in it. Each
``broken_*.py`` beside it overrides one part.
"""

import asyncio
import base64
import inspect
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import traceback
import types
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from threading import Lock

__all__ = ["ActionServer", "Refusal"]

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
NO_BINARY = "The action failed to generate or locate a binary. See logs for details."
CANNOT_START = "Cannot start action. Check logs for details."


class Refusal(Exception):
    """A reply that is no success, and what goes to stderr."""

    def __init__(self, status: int, message: str, log: str = "", *, ends: bool = True) -> None:
        super().__init__(message)
        self.status, self.message, self.log, self.ends = status, message, log, ends


class Handler(BaseHTTPRequestHandler):
    """Reads a request and sends the reply."""

    protocol_version = "HTTP/1.1"
    server: "ActionServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with self.server.lock:
            status, document = self.server.answer(self.path, body)
            self.server.send(self, status, json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing: the log is the action's."""


class ActionServer(ThreadingMixIn, HTTPServer):
    """One action. Threads read connections, one call runs at a time."""

    request_queue_size = 64
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", int(os.environ["PORT"])), Handler)
        self.lock = Lock()
        self.main: object = None
        self.initialised = False

    @classmethod
    def serve(cls) -> None:
        """Serve until SIGTERM, which waits for the running call."""
        server = cls()

        def stop(*_: object) -> None:
            server.lock.acquire(timeout=5)
            os._exit(0)

        signal.signal(
            signal.SIGTERM, lambda *_: __import__("threading").Thread(target=stop).start()
        )
        server.serve_forever()

    def send(self, handler: Handler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def answer(self, path: str, body: bytes) -> tuple[int, object]:
        is_run = path == "/run"
        try:
            result = self.run(body) if is_run else self.init(body)
        except Refusal as refusal:
            self.write_error(refusal.log)
            if is_run or refusal.ends:
                self.end_activation()
            return refusal.status, {"error": refusal.message}
        if is_run:
            self.end_activation()
        return 200, result

    def write_error(self, text: str) -> None:
        if text:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def end_activation(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, Tracked)
            stream.end_line(SENTINEL)

    def init(self, body: bytes) -> object:
        if self.initialised:
            self.refuse_second_init()
        value = (parsed(body) or {}).get("value") or {}
        if not value.get("code"):
            raise Refusal(403, "Missing main/no code to execute.")
        folder = tempfile.mkdtemp()
        file = place(value["code"], bool(value.get("binary")), folder)
        for name, text in (value.get("env") or {}).items():
            compact = json.dumps(text, separators=(",", ":"))
            os.environ[name] = text if isinstance(text, str) else compact
        os.chdir(folder)
        sys.path.insert(0, folder)
        self.main = load(file, value.get("main") or "main", folder)
        self.initialised = True
        return {"ok": True}

    def refuse_second_init(self) -> None:
        message = "Cannot initialize the action more than once."
        raise Refusal(403, message, message, ends=False)

    def run(self, body: bytes) -> object:
        if self.main is None:
            raise Refusal(500, "no action defined yet")
        document = parsed(body) or {}
        value = document.get("value")
        value = {} if value is None else value
        if not isinstance(value, dict | list):
            raise Refusal(404, "The action did not receive a dictionary or array as an argument.")
        for name, text in document.items():
            if name != "value":
                os.environ[f"__OW_{name.upper()}"] = str(text)
        return self.check(self.call(value))

    def call(self, value: object) -> object:
        try:
            result = self.main(value)  # type: ignore[operator]
            return asyncio.run(result) if inspect.iscoroutine(result) else result
        except SystemExit:
            raise Refusal(400, "command exited") from None
        except Exception as error:
            self.write_error(traceback.format_exc())
            return {"error": str(error)}

    def check(self, result: object) -> object:
        if not isinstance(result, dict | list | None):
            raise Refusal(502, "The action did not return a dictionary or array.")
        try:
            json.dumps(result, allow_nan=False)
        except (TypeError, ValueError) as error:
            return {"error": str(error)}
        return result


class Tracked(io.TextIOWrapper):
    """A stream that knows whether its last line has ended."""

    _in_line = False

    def write(self, text: str) -> int:
        if text:
            self._in_line = not text.endswith("\n")
        return super().write(text)

    def end_line(self, line: str) -> None:
        text = f"\n{line}\n" if self._in_line else f"{line}\n"
        self.write(text)
        self.flush()


def parsed(body: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise Refusal(400, f"Error unmarshaling request: {error}") from None
    return document


def place(code: str, binary: bool, folder: str) -> str:
    file = os.path.join(folder, "__main__.py")
    try:
        data = base64.b64decode(code, validate=True) if binary else code.encode()
    except ValueError as error:
        raise Refusal(400, f"cannot decode: {error}") from None
    if data[:2] == b"PK":
        zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
    elif data[:2] == b"\x1f\x8b":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="data")
    else:
        with open(file, "wb") as target:
            target.write(data)
    if os.path.isfile(os.path.join(folder, "exec")):
        os.rename(os.path.join(folder, "exec"), file)
    if not os.path.isfile(file):
        raise Refusal(502, NO_BINARY, "Zip file does not include __main__.py")
    return file


def load(file: str, main: str, folder: str) -> object:
    try:
        activate = os.path.join(folder, "virtualenv/bin/activate_this.py")
        if os.path.isdir(os.path.join(folder, "virtualenv")):
            with open(activate) as script:
                exec(script.read(), {"__file__": activate})
        module = types.ModuleType("main__")
        with open(file) as source:
            exec(compile(source.read(), file, "exec"), module.__dict__)
        return getattr(module, main)
    except SystemExit:
        log = "Command exited abruptly during initialization."
        raise Refusal(502, CANNOT_START, log) from None
    except Exception:
        raise Refusal(502, CANNOT_START, traceback.format_exc()) from None


sys.stdout = Tracked(sys.stdout.buffer, "utf-8", line_buffering=True)
sys.stderr = Tracked(sys.stderr.buffer, "utf-8", line_buffering=True)

if __name__ == "__main__":
    ActionServer.serve()
