"""The host for OpenWhisk: a process that is sent /init once and then /run.

It sends what OpenWhisk's controller and invoker make of a request. A JSON object is the
action's parameters, as ``wsk action invoke`` sends it. Anything else, and whatever has
headers, is a raw web action's request: only that carries bytes and headers.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpfn.errors import BackendTimeout, BrokenReply, SetupError
from gpfn.hosts.child import Child, HostedProcess, ProcessHost
from gpfn.hosts.host import Invocation, InvocationResult
from gpfn.hosts.log import listening_url
from gpfn.hosts.target import Target
from gpfn.platforms.openwhisk.media_types import body_text, is_json, is_text
from gpfn.settings import read_digits

__all__ = [
    "SENTINEL",
    "OpenWhiskHost",
    "action_words",
    "activation_id",
    "from_action",
    "init_body",
    "init_document",
    "parameters_of",
    "run_body",
]

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
"""The line that ends an activation's log on each stream."""

_OBJECT_TYPES = ("", "application/json", "text/plain")
_NO_RESULT = "The action did not produce a valid JSON or JSON Array response"
_START_SECONDS = 60.0  # an action's default timeout, which bounds /init
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def activation_id() -> str:
    """Return a new id of the form that OpenWhisk gives to activations."""
    return secrets.token_hex(16)


def init_body(name: str, timeout: float) -> bytes:
    """Return the body of /init for an image that brings its own code."""
    env = {f"__OW_{key.upper()}": value for key, value in _context(name, "", timeout).items()}
    return init_document(name, env)


def init_document(
    name: str,
    env: Mapping[str, str],
    *,
    main: str = "main",
    code: str | None = None,
    binary: bool = False,
) -> bytes:
    """Return the body of /init; without ``code`` there is no such key, as of the invoker."""
    value = {"name": name, "main": main, "binary": binary, "env": dict(env)}
    if code is not None:
        value["code"] = code
    return json.dumps({"value": value}).encode()


def action_words(words: Sequence[str], file: Path | None, port: int = 0) -> list[str]:
    """Return what starts an action's process; ``words`` start ``gpfn``, port 0 is a free one."""
    baked = [] if file is None else [str(file)]
    return [*words, "run", "openwhisk", *baked, "--host", "127.0.0.1", "--port", str(port)]


def run_body(request: Invocation, name: str, identifier: str) -> tuple[bytes, bool]:
    """Return the body of /run, and whether it is a web action's."""
    parameters = None if request.headers else parameters_of(request)
    value = _web_request(request) if parameters is None else parameters
    body = {"value": value, **_context(name, identifier, request.timeout)}
    return json.dumps(body).encode(), parameters is None


def parameters_of(request: Invocation) -> dict[str, object] | None:
    """Return a body that is a JSON object; None for any other, which a web action takes."""
    base = request.content_type.partition(";")[0].strip().lower()
    if base not in _OBJECT_TYPES and not base.endswith("+json"):
        return None
    if not request.body:
        return {}
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _web_request(request: Invocation) -> dict[str, object]:
    headers = {name.lower(): value for name, value in request.headers}
    if request.content_type:
        headers["content-type"] = request.content_type
    return {
        "__ow_method": "post",
        "__ow_headers": headers,
        "__ow_path": "",
        "__ow_query": "",
        "__ow_body": body_text(request.body, request.content_type),
    }


def _context(name: str, identifier: str, timeout: float) -> dict[str, str]:
    return {
        "namespace": "guest",
        "action_name": f"/guest/{name}",
        "action_version": "0.0.1",
        "activation_id": identifier or activation_id(),
        "transaction_id": secrets.token_urlsafe(24),
        "deadline": str(int(1000 * (time.time() + timeout))),
    }


def from_action(status: int, body: bytes, identifier: str, *, web: bool) -> InvocationResult:
    """Return what the caller gets for an action's reply.

    An object with ``error`` is an application error, any status but 200 the developer's,
    and so is a result that is neither object nor array: 502 from the REST API. Of a web
    action's error the value is unwrapped as a response.
    Raises BrokenReply for a result that OpenWhisk does not take.
    """
    try:
        result = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenReply(f"the action's reply is not JSON: {error}") from None
    if not web and status == 200 and not isinstance(result, dict | list):
        text = body.decode(errors="replace")
        status, body = 502, json.dumps({"error": f"{_NO_RESULT}: {text}"}).encode()
    failed = status != 200 or (isinstance(result, dict) and "error" in result)
    if not web or (failed and status != 200):
        headers = (("content-type", "application/json"),)
        return InvocationResult(502 if failed else 200, body, headers, identifier)
    return _web_answer(result["error"] if failed else result, identifier)


def _status(value: object) -> int:
    """Read a status as the platform's API does: a number of HTTP's, or its digits."""
    status = read_digits(value) if isinstance(value, str) else value
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise BrokenReply(f"{value!r:.40} is not an HTTP status", field="statusCode")
    return status


def _web_answer(response: object, identifier: str) -> InvocationResult:
    """Return the HTTP response that a web action's ``.http`` result stands for."""
    stated = response.get("headers", {}) if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(stated, dict):
        raise BrokenReply("a web action's result and its headers have to be objects")
    headers = tuple(
        (name.lower(), str(item))
        for name, value in stated.items()
        for item in (value if isinstance(value, list) else [value])
    )
    content = response.get("body", "")
    content_type = next((value for name, value in headers if name == "content-type"), "")
    status = _status(response.get("statusCode", 200 if content != "" else 204))
    body = _bytes(content, content_type or "text/html")
    return InvocationResult(status, body, headers, identifier)


def _bytes(content: object, content_type: str) -> bytes:
    if not isinstance(content, str):
        content = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    elif not is_text(content_type) and not is_json(content_type):
        try:
            return base64.b64decode(content)
        except ValueError as error:
            raise BrokenReply(f"a web action's body is not base64: {error}", field="body") from None
    return content.encode(errors="backslashreplace")


class OpenWhiskHost(ProcessHost):
    """The function as ``gpfn run openwhisk`` serves it, called as the platform's invoker calls."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._port = 0

    def start(self) -> float:
        """Start the process and initialise it; returns the seconds until it can be called."""
        self._child = self._launch()
        self._child.wait_until(self._listens, _START_SECONDS)
        status, body = self._post("/init", init_body(self._name(), _START_SECONDS), _START_SECONDS)
        if status != 200:
            raise SetupError(f"the action was not initialised: {body.decode(errors='replace')}")
        return time.perf_counter() - self._child.started

    def _launch(self) -> HostedProcess:
        command = action_words(self.words(), self.target.file)
        return Child(command, self.target.folder, self.target.environ())

    def _listens(self) -> bool:
        url = listening_url(self._output())
        self._port = int(url.rpartition(":")[2] or 0)
        return bool(url)

    def call(self, request: Invocation) -> InvocationResult:
        """Run one activation. Raises BackendError when no reply comes that OpenWhisk takes."""
        identifier = activation_id()
        body, web = run_body(request, self._name(), identifier)
        # the function may still answer that time is over
        status, reply = self._post("/run", body, request.timeout + 1.0)
        return from_action(status, reply, identifier, web=web)

    def _name(self) -> str:
        return self.target.folder.name

    def _post(self, path: str, body: bytes, timeout: float) -> tuple[int, bytes]:
        """Send one request on a connection of its own, as the invoker does."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.request("POST", path, body, _HEADERS)
            response = connection.getresponse()
            reply = response.read()
        except TimeoutError as error:
            raise BackendTimeout(f"no answer to {path} within {timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise BrokenReply(f"the action broke off: {error!r}") from error
        finally:
            connection.close()
        if response.getheader("Content-Length") is None:
            raise BrokenReply("the reply has no Content-Length, which OpenWhisk does not take")
        return response.status, reply

    def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()

    def log(self) -> str:
        """Return the activations' log: both streams as they came, without the sentinels."""
        lines = self._output().splitlines(keepends=True)
        told = (line for line in lines if line.rstrip("\n") != SENTINEL)
        return "".join(line for line in told if not listening_url(line))

    def _output(self) -> str:
        return "" if self._child is None else self._child.log()
