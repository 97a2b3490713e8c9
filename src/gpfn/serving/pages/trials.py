"""A model that is tried from its page: what was sent, what it answers, or what was wrong with it.

An error is drawn in the page with the status that it has; what was typed stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import CallerError, GpfnError, InvalidRequest, Overloaded, error_document
from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.serving.answers import headers_of
from gpfn.serving.pages.forms import (
    Sent,
    arrays_of_cells,
    arrays_of_text,
    read_form,
    read_query,
)
from gpfn.serving.pages.trying import views_of
from gpfn.serving.pages.views import ShownModel, Trial, TrialAnswer
from gpfn.serving.routing import Route

if TYPE_CHECKING:
    import numpy as np

    from gpfn.http.loop.incoming import BodyReceiver
    from gpfn.serving.pages.making import PageMaker

__all__ = ["Trials"]

_LONGEST_TEXT = 1 << 16
"""Characters of a text that are sent back; of more, those that come first."""


class _Asked(NamedTuple):
    """A form that was read: the model it is for, and its inputs or what is wrong with them."""

    shown: ShownModel
    trial: Trial
    inputs: Mapping[str, np.ndarray]
    error: GpfnError | None


class Trials:
    """The part of `gpfn.serving.pages.RepositoryPages` that asks models."""

    def __init__(self, maker: PageMaker) -> None:
        self._maker = maker
        path = "/models/{model}/try"
        self.routes = (Route("POST", path, self.try_it, "", body=True, receive=self.form),)

    def form(self, headers: Headers) -> BodyReceiver | None:
        """Raise what forbids a form before its body has come, which is to be in memory."""
        self._maker.check("predict", headers, sends=True)
        return None

    def try_it(self, exchange: Exchange, body: bytes | memoryview, model: str) -> None:
        """Answer with the page of a model and what it says to a form."""
        self._maker.check("predict", exchange.request.headers, sends=True)
        query = read_query(exchange.request.target)
        self._maker.service.background.in_thread(
            exchange,
            partial(self._read, exchange, body, model, query),
            partial(self._ask, exchange),
            self._maker.protocol,
        )

    def _read(
        self, exchange: Exchange, body: bytes | memoryview, model: str, query: Mapping[str, str]
    ) -> _Asked:
        shown = self._maker.shown.model(model, query.get("version", ""))
        views = views_of(shown)
        view = query.get("view", "") if query.get("view") in views else views[0]
        sent = Sent({}, {})
        try:
            sent = read_form(body, exchange.fields.by_name.get("content-type", ""))
            inputs, error = self._inputs(shown, view, sent), None
        except GpfnError as found:
            inputs, error = {}, found
        typed = {name: text[:_LONGEST_TEXT] for name, text in sent.texts.items()}
        image = sent.files.get("image")
        return _Asked(shown, Trial(view, typed, file=image.name if image else ""), inputs, error)

    def _inputs(self, shown: ShownModel, view: str, sent: Sent) -> Mapping[str, np.ndarray]:
        if view == "cells":
            return arrays_of_cells(shown, sent.texts)
        if view == "text":
            return arrays_of_text(shown, sent, self._maker.service.settings.limits)
        if "image" not in sent.files:
            raise InvalidRequest("choose an image first", field="image")
        data = sent.files["image"].data
        return self._maker.shown.pixels(shown.name, shown.chosen.number, data)

    def _ask(self, exchange: Exchange, result: object) -> None:
        asked = result
        assert isinstance(asked, _Asked)  # noqa: S101 - what _read returns
        if asked.error is not None:
            self._show(exchange, asked, None, asked.error)
            return
        began = monotonic()

        def done(outputs: Mapping[str, np.ndarray] | None, error: BaseException | None) -> None:
            if outputs is None:
                self._show(exchange, asked, None, error or GpfnError("there is no result"))
            else:
                answered = TrialAnswer(asked.inputs, outputs, monotonic() - began)
                self._show(exchange, asked, answered, None)

        shown = asked.shown
        self._maker.shown.predict(exchange, shown.name, shown.chosen.number, asked.inputs, done)

    def _show(
        self,
        exchange: Exchange,
        asked: _Asked,
        answered: TrialAnswer | None,
        error: BaseException | None,
    ) -> None:
        """Answer with the page, made in a thread: an answer may be large."""
        told, status = None, 200
        if error is not None:
            told = error_document(error)["error"]
            status = error.status if isinstance(error, GpfnError) else 500
            if not isinstance(error, CallerError | Overloaded):
                self._maker.service.log.failure(error, call=exchange.id)
        trial = asked.trial._replace(answered=answered, error=told)

        def work() -> str:
            return self._maker.page(exchange, asked.shown, trial, {})

        def then(text: str) -> Response:
            response = self._maker.html(text, status)
            more = headers_of(error) if error is not None else ()
            return response._replace(headers=(*response.headers, *more))

        self._maker.later(exchange, work, then)
