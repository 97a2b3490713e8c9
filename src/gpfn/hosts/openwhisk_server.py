"""A client of OpenWhisk's REST, and where ``wsk`` keeps the host and the key.

Names are those of ``wsk``: ``NAME``, ``PACKAGE/NAME``, ``/NAMESPACE/NAME`` and
``/NAMESPACE/PACKAGE/NAME``; without a namespace it is the key's own, ``_``.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from gpfn.deadline import Deadline
from gpfn.errors import BrokenReply, GpfnError, SetupError
from gpfn.hosts.rest import RestAdvice, RestServer, keep_secret
from gpfn.http.response import HttpResponse
from gpfn.secrets import revealed

__all__ = [
    "ActionName",
    "OpenWhiskClient",
    "action_path",
    "openwhisk_client",
    "openwhisk_host",
    "parse_action_name",
    "web_path",
]

_OWN = "_"
_LONGEST = 256
_MOST_BYTES = 64 << 10
_ADVICE = RestAdvice(
    "an OpenWhisk",
    "start one with gpfn dev, or name it with --at or WHISK_APIHOST",
    "the key is that of --auth, WHISK_AUTH, or AUTH in ~/.wskprops",
)
_NO_HOST = "no host: give --at URL, set WHISK_APIHOST, or type wsk property set --apihost URL"
_NO_KEY = (
    "no key: give --auth KEY (gpfn dev prints its own), set WHISK_AUTH,"
    " or type wsk property set --auth KEY"
)


class ActionName(NamedTuple):
    """An action's name in its parts; ``package`` is empty for the default one."""

    namespace: str
    package: str
    name: str

    @property
    def entity(self) -> str:
        """The name within its namespace: ``PACKAGE/NAME`` or ``NAME``."""
        return f"{self.package}/{self.name}" if self.package else self.name

    @property
    def shown(self) -> str:
        """The name as people give it."""
        own = self.namespace == _OWN
        return self.entity if own else f"/{self.namespace}/{self.entity}"


def parse_action_name(text: str) -> ActionName:
    """Read an action's name; raises SetupError for what is none."""
    given = text[1:].split("/") if text.startswith("/") else [_OWN, *text.split("/")]
    parts = given if len(given) == 3 else [given[0], "", *given[1:]]
    named = [part for index, part in enumerate(parts) if index != 1 or len(given) == 3]
    wrong = any(not p.strip() or len(p) > _LONGEST or not p.isprintable() for p in named)
    if len(parts) != 3 or wrong:
        told = "expected NAME, PACKAGE/NAME or /NAMESPACE/PACKAGE/NAME"
        raise SetupError(f"{told}, got {text[:60]!r}", field="name")
    return ActionName(*parts)


def openwhisk_client(
    url: str = "", auth: str = "", environ: Mapping[str, str] = os.environ
) -> OpenWhiskClient:
    """Return the client of ``url`` with the key ``auth``; what is not given is as for ``wsk``.

    That is WHISK_APIHOST and WHISK_AUTH, then APIHOST and AUTH of WSK_CONFIG_FILE or
    ``~/.wskprops``. Raises SetupError when there is no host or no key.
    """
    host = openwhisk_host(url, environ)
    key = auth or environ.get("WHISK_AUTH") or _kept(environ).get("AUTH", "")
    if not key:
        raise SetupError(_NO_KEY, field="--auth")
    return OpenWhiskClient(host, revealed(key, field="--auth", environ=environ).strip())


def openwhisk_host(url: str = "", environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL of the OpenWhisk that is meant, https unless it says otherwise."""
    host = url or environ.get("WHISK_APIHOST") or _kept(environ).get("APIHOST", "").rstrip("/")
    if not host:
        raise SetupError(_NO_HOST, field="--at")
    return host if "://" in host else f"https://{host}"


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what ``wsk property set`` has written; nothing when that cannot be read."""
    named = environ.get("WSK_CONFIG_FILE")
    path = Path(named if named is not None else f"{environ.get('HOME', '')}/.wskprops")
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return {}  # as wsk does: a file that cannot be read is none
    lines = (line.strip().partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equal, value in lines if equal}


class OpenWhiskClient:
    """An OpenWhisk's actions and activations.

    Methods raise SetupError for what it refuses, BackendError when it fails; each message
    names the server and says what to do.
    """

    def __init__(self, url: str, auth: str) -> None:
        _, colon, _ = auth.partition(":")
        if not colon or not auth.isascii() or not auth.isprintable():
            raise SetupError("a key is USER:PASSWORD in ASCII", field="--auth")
        keep_secret(auth, "the key")
        basic = keep_secret(base64.b64encode(auth.encode()).decode(), "the key")
        headers = [("Authorization", f"Basic {basic}")]
        self._server = RestServer(url, _ADVICE, headers=headers)
        self.url = url.rstrip("/")

    @property
    def shown(self) -> str:
        """The server's URL for people."""
        return self._server.shown

    def namespace(self) -> str:
        """Return the key's own namespace."""
        found = self._server.expect(self._server.ask("GET", "/api/v1/namespaces"), "list")
        if not isinstance(found, list) or not found or not isinstance(found[0], str):
            raise BrokenReply(f"{self.shown} lists no namespaces; is it an OpenWhisk?")
        return found[0]

    def find_action(self, name: ActionName) -> Mapping[str, object] | None:
        """Return an action without its code."""
        reply = self._server.ask("GET", f"{action_path(name)}?code=false")
        if reply.status == 404 and self._is_error(reply):
            return None
        return self._object(reply, f"look for the action {name.shown}")

    def write(self, path: str, document: object, doing: str) -> Mapping[str, object]:
        """Put something, and return how the server describes it then."""
        return self._object(self._server.ask("PUT", path, document), doing)

    def invoke(self, name: ActionName, parameters: object, deadline: Deadline) -> HttpResponse:
        """Call an action and wait for its end; 202 says that it goes on."""
        path = f"{action_path(name)}?blocking=true&result=false"
        return self._server.ask("POST", path, parameters, deadline=deadline)

    def activation(self, namespace: str, identifier: str, deadline: Deadline) -> HttpResponse:
        """Ask for an activation's record, which is not there before its end."""
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/activations/{quote(identifier)}"
        return self._server.ask("GET", path, deadline=deadline)

    def refusal(self, reply: HttpResponse, doing: str) -> GpfnError:
        """Return an answer that is no success as an error."""
        return self._server.refusal(reply, doing)

    def document(self, reply: HttpResponse) -> object:
        """Return an answer's JSON; raises BrokenReply for what is none."""
        return self._server.document(reply)

    def _object(self, reply: HttpResponse, doing: str) -> Mapping[str, object]:
        found = self._server.expect(reply, doing)
        if not isinstance(found, dict):
            raise BrokenReply(f"{self.shown} answers with no object; is it an OpenWhisk?")
        return found

    def _is_error(self, reply: HttpResponse) -> bool:
        """Say whether it is OpenWhisk that has nothing of the name, and no other server."""
        return b'"error"' in bytes(reply.body[:_MOST_BYTES])

    def close(self) -> None:
        """Close the connections."""
        self._server.close()


def action_path(name: ActionName) -> str:
    """Return the path of an action's REST."""
    return f"/api/v1/namespaces/{quote(name.namespace, safe='')}/actions/{quote(name.entity)}"


def web_path(name: ActionName, namespace: str) -> str:
    """Return the path of a web action, which shows ``.http`` results."""
    parts = (namespace, name.package or "default", name.name)
    return f"/api/v1/web/{'/'.join(quote(part, safe='') for part in parts)}"
