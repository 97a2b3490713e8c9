"""What OpenWhisk's controller and invoker make of a request, and of an action's result.

A JSON object goes to the action as its parameters, as ``wsk action invoke`` sends it.
Anything else, and whatever has headers, goes as a raw web action's request: the one way
in which OpenWhisk carries bytes and headers.
"""

import base64
import json
import secrets
import time

from gpfn.errors import BrokenReply
from gpfn.invoke.platform import Answer, Request

__all__ = ["SENTINEL", "activation_id", "from_action", "init_body", "run_body"]

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
"""The line that ends an activation's log on each stream."""

_OBJECT_TYPES = ("", "application/json", "text/plain")
_TEXT_TYPES = ("application/javascript", "application/x-www-form-urlencoded", "application/xml")


def activation_id() -> str:
    """Return a new id of the form that OpenWhisk gives to activations."""
    return secrets.token_hex(16)


def init_body(name: str, timeout: float) -> bytes:
    """Return the body of /init for an image that brings its own code."""
    env = {f"__OW_{key.upper()}": value for key, value in _context(name, "", timeout).items()}
    return json.dumps(
        {"value": {"name": name, "main": "main", "binary": False, "env": env}}
    ).encode()


def run_body(request: Request, name: str, identifier: str) -> tuple[bytes, bool]:
    """Return the body of /run, and whether it is a web action's."""
    parameters = None if request.headers else _parameters(request)
    value = _web_request(request) if parameters is None else parameters
    body = {"value": value, **_context(name, identifier, request.timeout)}
    return json.dumps(body).encode(), parameters is None


def _parameters(request: Request) -> dict[str, object] | None:
    """Return a body that is a JSON object; None for any other."""
    base = request.content_type.partition(";")[0].strip().lower()
    if base not in _OBJECT_TYPES and not base.endswith("+json"):
        return None
    if not request.body:
        return {}
    try:
        value = json.loads(request.body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _web_request(request: Request) -> dict[str, object]:
    headers = {name.lower(): value for name, value in request.headers}
    if request.content_type:
        headers["content-type"] = request.content_type
    text = _is_text(request.content_type)
    body = request.body.decode("utf-8", "replace") if text else _base64(request.body)
    return {
        "__ow_method": "post",
        "__ow_headers": headers,
        "__ow_path": "",
        "__ow_query": "",
        "__ow_body": body,
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


def from_action(status: int, body: bytes, identifier: str, *, web: bool) -> Answer:
    """Return what the caller gets for an action's reply.

    An object with ``error`` is an application error, any status but 200 the developer's:
    502 from the REST API. Of a web action's error the value is unwrapped as a response.
    Raises BrokenReply for what OpenWhisk could not make sense of.
    """
    try:
        result = json.loads(body)
    except ValueError as error:
        raise BrokenReply(f"the action's reply is not JSON: {error}") from None
    failed = status != 200 or (isinstance(result, dict) and "error" in result)
    if not web or (failed and status != 200):
        headers = (("content-type", "application/json"),)
        return Answer(502 if failed else 200, body, headers, identifier)
    return _web_answer(result["error"] if failed else result, identifier)


def _web_answer(response: object, identifier: str) -> Answer:
    """Return the HTTP response that a web action's ``.http`` result stands for."""
    if not isinstance(response, dict):
        raise BrokenReply("a web action's result has to be an object")
    headers = tuple(
        (name.lower(), str(item))
        for name, value in response.get("headers", {}).items()
        for item in (value if isinstance(value, list) else [value])
    )
    content = response.get("body", "")
    content_type = next((value for name, value in headers if name == "content-type"), "")
    status = int(response.get("statusCode", 200 if content != "" else 204))
    return Answer(status, _bytes(content, content_type or "text/html"), headers, identifier)


def _bytes(content: object, content_type: str) -> bytes:
    if not isinstance(content, str):
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    if _is_text(content_type) or _is_json(content_type):
        return content.encode()
    return base64.b64decode(content)


def _is_text(content_type: str) -> bool:
    base = content_type.partition(";")[0].strip().lower()
    return base.startswith("text/") or base in _TEXT_TYPES or "charset=" in content_type.lower()


def _is_json(content_type: str) -> bool:
    base = content_type.partition(";")[0].strip().lower()
    return base == "application/json" or base.endswith("+json")


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()
