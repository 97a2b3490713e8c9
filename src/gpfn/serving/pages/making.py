"""What every answer of the pages is made with: who asks, where this is, a thread, a page."""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.serving.answers import headers_of
from gpfn.serving.pages import netron
from gpfn.serving.pages.assets import address_of, html, redirect
from gpfn.serving.pages.listing import Listing
from gpfn.serving.pages.markup import PageSite
from gpfn.serving.pages.model_page import Extras, model_page
from gpfn.serving.pages.told import flash_of
from gpfn.serving.tokens import NotAuthorised

if TYPE_CHECKING:
    from gpfn.serving.pages.views import Flash, Shown, ShownModel, Trial
    from gpfn.serving.routing import HttpProtocol
    from gpfn.serving.service import Service
    from gpfn.serving.tokens import Scope

__all__ = ["PageMaker", "as_bearer", "base_of"]

_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_LONGEST_FIND = 100
_LONGEST_BASIC = 1024
_BASIC = ("www-authenticate", 'Basic realm="gpfn: any name, the token as password"')
_GRAPHS = {"litert", "onnx", "tensorflow-savedmodel", "tensorflow-frozen"}


class PageMaker:
    """Makes pages of what a repository shows, for those who may see it."""

    def __init__(
        self,
        service: Service,
        shown: Shown,
        protocol: HttpProtocol,
        secret: bytes | None,
        root: str = "",
    ) -> None:
        self.service = service
        self.shown = shown
        self.protocol = protocol
        self.secret = secret or secrets.token_bytes(32)
        self._root = root

    def check(self, scope: Scope, headers: Headers, *, sends: bool = False) -> str:
        """Return whose token a request has, nothing where it needs none; raises what forbids it.

        A browser sends a password to its server whatever page asks for that. So what ``sends``
        something is held against the page that it is from, although it may only ask models.
        """
        told, basic = as_bearer(headers)
        who = self.service.gate.check(scope, told)
        if sends and basic:
            self.service.gate.check_page(told)
        return who

    def challenge(self, error: BaseException) -> tuple[tuple[str, str], ...]:
        """Return the headers of an answer to an error; a browser is asked for a password."""
        known = headers_of(error)
        return (_BASIC, *known) if isinstance(error, NotAuthorised) else known

    def wants_html(self, exchange: Exchange) -> bool:
        """Say whether a browser asks, and not a program or the pages' own script."""
        return "text/html" in exchange.fields.by_name.get("accept", "")

    def site(self, exchange: Exchange | None) -> PageSite:
        """Return what a page says of the server, by the name that the browser has for it."""
        host = exchange.fields.by_name.get("host", "") if exchange else ""
        service = self.service
        return PageSite(
            base_of(service, host) + self._root,
            service.version,
            address_of("style.css"),
            address_of("page.js"),
            not service.gate.open_to_all,
            self.shown.limit_bytes,
            self._root,
        )

    def html(self, text: str, status: int = 200) -> Response:
        """Return a page below the server's root."""
        return html(text, status, root=self._root)

    def redirect(self, place: str) -> Response:
        """Send a browser to a page of the server's."""
        return redirect(place, root=self._root)

    def later(
        self, exchange: Exchange, work: Callable[[], Any], then: Callable[[Any], Response]
    ) -> None:
        """Have work done in a thread, and answer with what is made of it."""

        def answer(result: object) -> None:
            self.service.answer(exchange, then(result))

        self.service.background.in_thread(exchange, work, answer, self.protocol)

    def listing(self, query: Mapping[str, str]) -> Listing:
        """Return the list of models that a page has at its side."""
        begin = query.get("from", "")
        start = int(begin) if begin.isdecimal() and len(begin) < 9 else 0
        find = query.get("q", "").strip()[:_LONGEST_FIND]
        return Listing(self.shown.listed(), find, start, len(self.shown.trash()))

    def page(
        self,
        exchange: Exchange,
        shown: ShownModel,
        trial: Trial,
        query: Mapping[str, str],
        told: Flash | None = None,
    ) -> str:
        """Return the page of a model."""
        told = told or flash_of(query, self.shown.trash_days)
        extras = Extras(self._graph(shown), trial, told, "old" in query)
        return model_page(self.site(exchange), self.listing({}), shown, extras)

    def _graph(self, shown: ShownModel) -> str:
        version = shown.chosen
        file = "saved_model.pb" if version.model == "." else version.model
        if version.kind not in _GRAPHS or file not in version.files:
            return ""
        return netron.frame_address(self.secret, shown.name, version.number, file)


def base_of(service: Service, host: str) -> str:
    """Return the server's address: as the browser has it, when that can be one."""
    scheme = "https" if service.settings.certificate else "http"
    if not _HOST.fullmatch(host):
        host = f"{service.settings.host}:{service.settings.port}"
    return f"{scheme}://{host}"


def as_bearer(headers: Sequence[tuple[str, str]]) -> tuple[Headers, bool]:
    """Return headers with a password as the token that it is, and whether there was one."""
    changed, basic = [], False
    for name, value in headers:
        if name == "authorization" and value[:6].lower() == "basic " and not basic:
            basic = True
            changed.append((name, f"Bearer {_password(value[6:])}"))
        else:
            changed.append((name, value))
    return tuple(changed), basic


def _password(text: str) -> str:
    """Return the password of basic credentials (RFC 7617), nothing for what is none."""
    try:
        decoded = binascii.a2b_base64(text.strip()[:_LONGEST_BASIC], strict_mode=True).decode()
    except ValueError:
        return ""
    return decoded.partition(":")[2]
