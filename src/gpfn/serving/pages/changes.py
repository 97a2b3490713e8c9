"""What forms change: uploads, tags, what is deleted and brought back.

Each is answered by sending the browser to a page that says what was done, with a way back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpfn.errors import CallerError, InvalidRequest, TooLarge
from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.media import MULTIPART, essence
from gpfn.serving.answers import json_page
from gpfn.serving.pages.forms import number_of, read_form
from gpfn.serving.pages.making import as_bearer
from gpfn.serving.pages.markup import in_url
from gpfn.serving.pages.told import after_delete, after_restore, after_tag, after_upload
from gpfn.serving.pages.versions import asks_first
from gpfn.serving.pages.views import Flash, Trial, Uploaded
from gpfn.serving.routing import Route

if TYPE_CHECKING:
    from gpfn.http.loop.incoming import BodyReceiver
    from gpfn.serving.pages.making import PageMaker

__all__ = ["PageChanges"]


class PageChanges:
    """The part of `gpfn.serving.pages.RepositoryPages` that needs the right to write."""

    def __init__(
        self, maker: PageMaker, listed: Callable[..., Response | None] | None = None
    ) -> None:
        """``listed`` answers a POST that is no form, by which TFaaS's client of 2018 asks."""
        self._maker = maker
        self._listed = listed
        self._shown = maker.shown
        self.routes = (
            Route("POST", "/models", self.upload, "", receive=self.receiver),
            Route("POST", "/models/{model}/tags", self.tag, "", body=True, receive=self.form),
            Route("POST", "/models/{model}/delete", self.delete, "", body=True, receive=self.form),
            Route(
                "POST", "/models/{model}/restore", self.restore, "", body=True, receive=self.form
            ),
        )

    def receiver(self, headers: Headers) -> BodyReceiver | None:
        """Return what takes an upload piece by piece; raises what forbids it."""
        media_type = dict(reversed(headers)).get("content-type", "")
        if self._listed is not None and essence(media_type) != MULTIPART:
            return None
        self._maker.check("write", headers)
        _check_upload(media_type)
        return self._shown.receiver(as_bearer(headers)[0])

    def form(self, headers: Headers) -> BodyReceiver | None:
        """Raise what forbids a form before its body has come, which is to be in memory."""
        self._maker.check("write", headers)
        return None

    def upload(self, exchange: Exchange, body: bytes | memoryview) -> Response | None:
        """Keep what has come, and go to it; a short one has come in one piece."""
        media_type = exchange.fields.by_name.get("content-type", "")
        if self._listed is not None and essence(media_type) != MULTIPART:
            return self._listed(exchange, body)
        who = self._maker.check("write", exchange.request.headers)
        _check_upload(media_type)
        most = self._shown.limit_bytes
        if len(body) > most:
            raise TooLarge(f"{len(body)} bytes, the limit is {most}", field="body")

        def answer(found: Sequence[Uploaded]) -> Response:
            if not self._maker.wants_html(exchange):
                return json_page({"uploaded": [one._asdict() for one in found]})
            return self._maker.redirect(after_upload(found))

        work = self._shown.uploaded(exchange, bytes(body), who)
        self._maker.service.background.answer_with(exchange, work, self._maker.protocol, answer)
        return None

    def tag(self, exchange: Exchange, body: bytes, model: str) -> None:
        """Move a tag, make one, or take it away."""
        who, texts = self._sent(exchange, body)
        tag, version = texts.get("tag", "").strip(), number_of(texts.get("version", ""))

        def work() -> str:
            was = self._shown.model(model).tags.get(tag)
            self._shown.tag(model, tag, version, who)
            return after_tag(model, tag, version, was)

        self._changed(exchange, model, work)

    def delete(self, exchange: Exchange, body: bytes, model: str) -> None:
        """Move a version, or all, to the trash; ask first where that has consequences."""
        who, texts = self._sent(exchange, body)
        version = number_of(texts.get("version", ""))
        place = f"/models/{in_url(model)}"

        def work() -> str:
            shown = self._shown.model(model)
            if not texts.get("sure") and asks_first(shown, version):
                return f"{place}/delete" + (f"?version={version}" if version else "")
            gone = self._shown.delete(model, version, who)
            return after_delete(model, gone, everything=len(gone) >= len(shown.versions))

        self._changed(exchange, model, work)

    def restore(self, exchange: Exchange, body: bytes, model: str) -> None:
        """Bring a version back from the trash."""
        who, texts = self._sent(exchange, body)
        version = number_of(texts.get("version", ""))
        if version is None:
            raise InvalidRequest("which version?", field="version")

        def work() -> str:
            self._shown.restore(model, version, who)
            return after_restore(model, version)

        self._changed(exchange, model, work)

    def _sent(self, exchange: Exchange, body: bytes) -> tuple[str, Mapping[str, str]]:
        """Return who sends a form, and its texts; raises what forbids it."""
        who = self._maker.check("write", exchange.request.headers)
        kind = exchange.fields.by_name.get("content-type", "")
        return who, read_form(body, kind).texts

    def _changed(self, exchange: Exchange, model: str, change: Callable[[], str]) -> None:
        """Make a change, and go where it says; show the model with what was wrong otherwise."""

        def work() -> Response:
            try:
                return self._maker.redirect(change())
            except CallerError as error:
                if error.status == 404:
                    raise
                told = Flash(
                    "bad", f"{error.field}: {error.detail}" if error.field else error.detail
                )
                shown = self._shown.model(model)
                page = self._maker.page(exchange, shown, Trial(), {}, told)
                return self._maker.html(page, error.status)

        self._maker.later(exchange, work, lambda response: response)


def _check_upload(content_type: str) -> None:
    """Raise InvalidRequest (415) unless a body can be the form that files are sent by."""
    if essence(content_type) != MULTIPART:
        raise InvalidRequest(f"expected {MULTIPART}", field="content-type", status=415)
