"""Hosts of functions that run elsewhere: on any Fn server, any OpenWhisk, by their REST.

``start()`` finds out what to call; nothing is started, and nothing is ended. A caller sees what
``fn invoke``, ``curl`` on a trigger and ``wsk action invoke`` show, and a log where there is one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import urlsplit

from gpfn.deadline import Deadline
from gpfn.errors import BackendTimeout, BrokenReply, SetupError
from gpfn.hosts.fn_server import fn_client
from gpfn.hosts.host import Host, Invocation, InvocationResult
from gpfn.hosts.openwhisk import parameters_of
from gpfn.hosts.openwhisk_server import (
    OpenWhiskClient,
    openwhisk_client,
    parse_action_name,
    web_path,
)
from gpfn.hosts.rest import agent_line
from gpfn.http.response import HttpResponse
from gpfn.http.site import Site
from gpfn.http.writer import check_header

__all__ = ["RemoteAction", "RemoteFunction", "RemoteHost", "is_endpoint", "make_remote_host"]

_ENDPOINTS = ("/invoke/", "/t/")
_MOST_SECONDS = 999_999.0
_POLL_SECONDS = 0.25
_ASK_SECONDS = 30.0
_MOST_LOG = 1 << 20


def make_remote_host(platform: str, url: str, name: str, auth: str = "") -> RemoteHost:
    """Return what calls ``name`` on the server at ``url``.

    Raises SetupError for another platform than Fn and OpenWhisk, and for what is no URL.
    """
    if platform == "fn":
        return RemoteFunction(url, name)
    if platform == "openwhisk":
        return RemoteAction(openwhisk_client(url, auth), name)
    raise SetupError(f"--at is for fn and openwhisk, not {platform}", field="--platform")


class RemoteHost(Host):
    """What the hosts of functions elsewhere have in common: nothing of theirs runs here."""

    def stop(self) -> None:
        """Close the connections."""

    def memory(self) -> int:
        """Return 0: the process is not on this machine, or nobody's business."""
        return 0

    def log(self) -> str:
        """Return what is known of what the function wrote."""
        return ""


class RemoteFunction(RemoteHost):
    """A function on an Fn server: ``APP/FUNCTION``, or the URL of an endpoint without a name."""

    def __init__(self, url: str, name: str = "") -> None:
        self._url, self._name = url, name
        self._endpoint: _Endpoint | None = None
        self._triggered: _Endpoint | None = None
        if not name and not is_endpoint(url):
            raise SetupError("expected APP/FUNCTION, or --at with an endpoint", field="function")
        if name and (name.count("/") != 1 or not all(name.split("/"))):
            raise SetupError(f"expected APP/FUNCTION, got {name[:60]!r}", field="function")

    def start(self) -> float:
        """Look for the endpoint; returns the seconds that took."""
        began = time.perf_counter()
        if not self._name:
            self._endpoint = self._triggered = _Endpoint(self._url)
            return 0.0
        with closing(fn_client(self._url)) as client:
            self._endpoint = _Endpoint(client.invoke_endpoint(*self._name.split("/")))
        return time.perf_counter() - began

    def call(self, request: Invocation) -> InvocationResult:
        """POST one request to the invoke endpoint, or to the function's trigger."""
        assert self._endpoint is not None, "started"  # noqa: S101 - the seam's order
        return (self._trigger() if request.as_trigger else self._endpoint).post(request)

    def _trigger(self) -> _Endpoint:
        if self._triggered is None:
            with closing(fn_client(self._url)) as client:
                self._triggered = _Endpoint(client.trigger_endpoint(*self._name.split("/")))
        return self._triggered

    def stop(self) -> None:
        """Close the connections."""
        for endpoint in filter(None, (self._endpoint, self._triggered)):
            endpoint.close()


class RemoteAction(RemoteHost):
    """An action on an OpenWhisk, called with its REST; as a web action when it has to be.

    A JSON object without headers is the parameters of a blocking invocation. Anything else goes
    to the web action, for only that takes bytes and headers.
    """

    def __init__(self, client: OpenWhiskClient, name: str) -> None:
        self._client, self._action = client, parse_action_name(name)
        self._namespace = ""
        self._logs: list[str] = []
        self._kept = 0

    def start(self) -> float:
        """Do nothing: the first call says what is wrong."""
        return 0.0

    def call(self, request: Invocation) -> InvocationResult:
        """Invoke it, and wait for its end as long as the request says."""
        parameters = None if request.headers else parameters_of(request)
        if parameters is None:
            return self._on_the_web(request)
        until = Deadline.after(request.timeout)
        reply = self._client.invoke(self._action, parameters, until)
        if reply.status == 202:
            reply = self._awaited(reply, request, until)
        if reply.status not in (200, 502):
            raise self._client.refusal(reply, f"invoke {self._action.shown}")
        return self._result(reply)

    def _awaited(self, reply: HttpResponse, request: Invocation, until: Deadline) -> HttpResponse:
        """Ask for the activation until it is there; the platform itself waits for a minute."""
        document = self._client.document(reply)
        identifier = document.get("activationId") if isinstance(document, dict) else None
        if not isinstance(identifier, str):
            raise BrokenReply(f"{self._client.shown} says that it goes on, and not as what")
        while until.remaining() > _POLL_SECONDS:
            asked = Deadline.after(_ASK_SECONDS).earlier(until)
            found = self._client.activation(self._action.namespace, identifier, asked)
            if found.status != 404:
                return found
            time.sleep(_POLL_SECONDS)
        told = f"no result within {request.timeout:g} s; the activation {identifier} goes on"
        raise BackendTimeout(f"{told}: a longer --timeout waits for it")

    def _result(self, reply: HttpResponse) -> InvocationResult:
        """Return the result in an activation's record; an array comes without one."""
        document = self._client.document(reply)
        headers = (("content-type", "application/json"),)
        if not isinstance(document, dict) or "activationId" not in document:
            return InvocationResult(reply.status, bytes(reply.body), headers)
        response = document.get("response")
        response = response if isinstance(response, dict) else {}
        self._keep(document.get("logs"))
        body = json.dumps(response.get("result"), separators=(",", ":"), ensure_ascii=False)
        status = 200 if response.get("success") else 502
        data = body.encode(errors="backslashreplace")
        return InvocationResult(status, data, headers, str(document["activationId"])[:64])

    def _keep(self, lines: object) -> None:
        for line in lines if isinstance(lines, list) else ():
            self._kept += len(str(line))
            if self._kept <= _MOST_LOG:
                self._logs.append(str(line))

    def _on_the_web(self, request: Invocation) -> InvocationResult:
        """Send a request to the web action; the key does not go along, for it would get it."""
        if not self._namespace:
            own = self._action.namespace == "_"
            self._namespace = self._client.namespace() if own else self._action.namespace
        place = self._client.url + web_path(self._action, self._namespace)
        with closing(_Endpoint(place)) as endpoint:
            answer = endpoint.post(request)
        if answer.status == 404 and b'"error"' in answer.body:
            told = f"{self._action.shown} is no web action on {self._client.shown}"
            how = "a body that is no JSON object, and headers, are for those"
            raise SetupError(f"{told}; {how}: deploy it with --web raw")
        return answer

    def log(self) -> str:
        """Return the activations' log, as far as their records had it."""
        return "".join(f"{line}\n" for line in self._logs)

    def stop(self) -> None:
        """Close the connections."""
        self._client.close()


def is_endpoint(url: str) -> bool:
    """Say whether a URL is that of an invoke endpoint or of a trigger, and not a server's."""
    return urlsplit(url).path.startswith(_ENDPOINTS)


class _Endpoint:
    """A URL that is POSTed to, with its query; the connection is kept."""

    def __init__(self, url: str) -> None:
        address, mark, query = url.partition("?")
        self._query = mark + query
        self._site = Site(address, headers=[agent_line()], timeout=_MOST_SECONDS)

    def post(self, request: Invocation) -> InvocationResult:
        """Send a request's body, and return the answer as the caller gets it."""
        media = [("Content-Type", request.content_type)] if request.content_type else []
        headers = [*request.headers, *media]
        for name, value in headers:
            _check(name, value)
        until = Deadline.after(request.timeout + 1.0)  # the function may say that time is over
        reply = self._site.ask("POST", self._query, request.body, headers, deadline=until)
        told = tuple(reply.headers.items())
        return InvocationResult(reply.status, bytes(reply.body), told, _call_id(reply.headers))

    def close(self) -> None:
        """Close the connection."""
        self._site.close()


def _check(name: str, value: str) -> None:
    try:
        check_header(name, value)
    except ValueError as error:
        raise SetupError(str(error), field=name) from None


def _call_id(headers: Mapping[str, str]) -> str:
    return headers.get("fn-call-id", "") or headers.get("x-openwhisk-activation-id", "")
