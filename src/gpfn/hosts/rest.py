"""A platform's REST: JSON is sent and answered, and every refusal is told in one line.

A line says who refused what, in the server's own words, and what to do next. What a server
answers is held to be hostile: it is bounded, and of its text one line is shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import BackendError, BrokenReply, CannotConnect, GpfnError, SetupError
from gpfn.hidden import hide
from gpfn.http.response import HttpResponse
from gpfn.http.site import Site

__all__ = ["RestAdvice", "RestServer", "agent_line", "keep_secret"]

_SHOWN = 300
_JSON = (("Content-Type", "application/json"),)
_MOST_SECONDS = 60.0
_LARGE = 8 << 20
_LATER = "it takes no more for now: try again in a minute"
_NEXT = {
    405: "its address has perhaps another path",
    413: "it takes nothing as large as that",
    429: _LATER,
    503: _LATER,
}


class RestAdvice(NamedTuple):
    """What to do about a server: what it is called, and what helps in the usual cases."""

    word: str
    absent: str
    """When nothing listens there."""
    access: str
    """When it refuses who asks."""


class RestServer:
    """A server of a platform; the paths begin with a slash and are encoded by the caller.

    Raises SetupError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        advice: RestAdvice,
        *,
        token: str = "",
        headers: Sequence[tuple[str, str]] = (),
        timeout: float = _MOST_SECONDS,
    ) -> None:
        self._advice = advice
        every = (agent_line(), ("Accept", "application/json"), *headers)
        self._site = Site(url, token=token, headers=every, timeout=timeout)

    @property
    def shown(self) -> str:
        """The URL for people, without its user and password."""
        return self._site.shown

    def ask(
        self, method: str, path: str, document: object = None, *, deadline: Deadline = NEVER
    ) -> HttpResponse:
        """Send a request, with ``document`` as JSON, and return the answer with any status.

        Raises BackendError, with what to do when nothing listens there.
        """
        body = None if document is None else _encoded(document)
        headers = () if body is None else _JSON
        try:
            if body is not None and len(body) > _LARGE:
                return self._site.send(method, path, [body], len(body), headers)
            return self._site.ask(method, path, body, headers, deadline=deadline)
        except CannotConnect as error:
            raise CannotConnect(f"{error.detail}; {self._advice.absent}") from error.__cause__

    def expect(self, reply: HttpResponse, doing: str) -> object:
        """Return the JSON of an answer with status 200; raises what :meth:`refusal` makes."""
        if reply.status != 200:
            raise self.refusal(reply, doing)
        return self.document(reply)

    def document(self, reply: HttpResponse) -> object:
        """Return an answer's JSON; raises BrokenReply for what is none."""
        try:
            found: object = json.loads(bytes(reply.body))
        except (ValueError, RecursionError):
            told = f"{self.shown} answers with what is no JSON; is it {self._advice.word}?"
            raise BrokenReply(told) from None
        return found

    def refusal(self, reply: HttpResponse, doing: str) -> GpfnError:
        """Return an answer that is no success as an error: SetupError, or of the server's own."""
        words = _message(reply) or reply.reason or "no reason given"
        told = f"{self.shown} refuses to {doing}: {words} ({reply.status})"
        hint = self._hint(reply)
        kind = BackendError if reply.status >= 500 else SetupError
        return kind(f"{told}; {hint}" if hint else told)

    def _hint(self, reply: HttpResponse) -> str:
        if reply.status in (401, 403):
            return self._advice.access
        if 300 <= reply.status < 400:
            return f"it is at another address: --at {reply.headers.get('location', '')[:_SHOWN]}"
        if not _message(reply) and reply.status in (404, 405):
            return f"is it {self._advice.word}?"
        return _NEXT.get(reply.status, "its log says more" if reply.status >= 500 else "")

    def close(self) -> None:
        """Close the connections."""
        self._site.close()


def agent_line() -> tuple[str, str]:
    """Return the header that says who asks, which servers tell callers by."""
    from gpfn import __version__

    return "User-Agent", f"gpfn/{__version__}"


def keep_secret(value: str, shown: str) -> str:
    """Return a secret that errors and logs show another text for.

    Of ``user:password`` the second part is hidden too. The first is a name: it may be a word.
    """
    for part in {value, value.rpartition(":")[2]} - {""}:
        hide(part, shown)
    return value


def _encoded(document: object) -> bytes:
    """Return JSON as Go writes it, with the line end behind it."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return f"{text}\n".encode(errors="backslashreplace")


def _message(reply: HttpResponse) -> str:
    """Return what an error's document says: Fn's ``message``, OpenWhisk's ``error``."""
    try:
        found = json.loads(bytes(reply.body))
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    text = found.get("message") or found.get("error") or ""
    text = text if isinstance(text, str) else json.dumps(text)
    return " ".join(text.split())[:_SHOWN]
