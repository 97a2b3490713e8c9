"""TF Serving's and KServe's V1 over HTTP: predictions, status and metadata under /v1.

What TF Serving answers with 400, a path or a method that it does not know, is 400 here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.media import JSON
from gpfn.serving.answers import headers_of
from gpfn.serving.engine.inference import Inference
from gpfn.serving.large import LARGE_BODY, answering, hold_parsed, later
from gpfn.serving.library import Asleep, UnknownModel
from gpfn.serving.routing import Route
from gpfn.v1.documents import (
    VersionStatus,
    error_body,
    metadata_document,
    models_document,
    status_document,
    status_of,
)
from gpfn.v1.predict import PredictRequest, decode_predict
from gpfn.v1.predictions import encode_predictions

if TYPE_CHECKING:
    import numpy as np

    from gpfn.oip.documents import ModelIndex
    from gpfn.serving.service import Service
    from gpfn.serving.version import ServedVersion

__all__ = ["V1"]

_JSON = (("content-type", JSON),)


class V1:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`."""

    prefixes = ("/v1",)

    def __init__(self, service: Service) -> None:
        self._service = service
        self._nan_words = service.settings.nan_words
        self.routes = (Route("GET", "/v1/models", self.models, ""), *self._routes())

    def _routes(self) -> Sequence[Route]:
        routes: list[Route] = []
        for version in ("", "/versions/{version}", "/labels/{label}"):
            path = "/v1/models/{model}" + version
            routes += [
                Route("POST", f"{path}:predict", self.predict, body=True),
                *[Route("POST", f"{path}:{verb}", self.refused(verb)) for verb in _REFUSED],
                Route("GET", path, self.status, "", vital=True),
                Route("GET", f"{path}/metadata", self.metadata),
            ]
        return routes

    def failure(self, error: BaseException, accept: str | None = None) -> Response:
        """Return the error's document, with the status that TF Serving has for such a one."""
        del accept  # always JSON
        return Response(status_of(error), (*_JSON, *headers_of(error)), (error_body(error),))

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        """Return 400 for a path or a method that is none."""
        del allowed
        return InvalidRequest(f"Malformed request: {method} {path:.99}")

    # documents

    def models(self, *_: object) -> Response:
        """Return KServe's list of models."""
        return Response(200, _JSON, (models_document(self._service.library.names()),))

    def status(
        self, exchange: Exchange, _: object, model: str, version: str = "", label: str = ""
    ) -> Response:
        """Return the state of a model's versions; with 200 when one of them answers.

        Raises Asleep alone: it is asked in a full house too.
        """
        library = self._service.library
        try:
            if ":" in model + version + label:
                raise self.unknown(exchange.request.method, exchange.request.target, ())
            if label:
                version = self._find(model, label=label).version
            entries = [
                entry
                for entry in library.index()
                if entry.name == model and version in ("", entry.version)
            ]
            answering = {*library.versions(model)} & {entry.version for entry in entries}
            failure = None if answering else self._why_not(model, version)
        except Asleep:
            raise
        except GpfnError as error:
            return self.failure(error)
        if isinstance(failure, Asleep):
            raise failure
        states = [_status(entry, entry.version in answering) for entry in entries]
        document = status_document(model, states, ready=bool(answering))
        if failure is None:
            return Response(200, _JSON, (document,))
        if not entries:
            return self.failure(failure)
        return self.failure(failure)._replace(buffers=(document,))

    def _why_not(self, model: str, version: str) -> GpfnError | None:
        """Return why a version does not answer."""
        try:
            self._find(model, version)
        except GpfnError as error:
            return error
        return None

    def metadata(
        self, _: Exchange, __: object, model: str, version: str = "", label: str = ""
    ) -> Response:
        """Return the names, dtypes and shapes of a version."""
        served = self._find(model, version, label)
        signature = served.model.inputs, served.model.outputs
        text = metadata_document(served.name, served.version, *signature)
        return Response(200, _JSON, (text,))

    # predictions

    def predict(
        self,
        exchange: Exchange,
        body: bytes | memoryview,
        model: str,
        version: str = "",
        label: str = "",
    ) -> None:
        """Have a request computed; the answer comes later."""
        served = self._find(model, version, label)
        inputs, limits = served.model.inputs, self._service.settings.limits

        def read(*, large: bool) -> PredictRequest:
            text = body if type(body) is bytes else bytes(body)
            if large:
                hold_parsed(self._service, exchange, text)
            return decode_predict(text, inputs, limits, nan_words=self._nan_words)

        if len(body) <= LARGE_BODY:
            self._submit(exchange, served, read(large=False))
        else:

            def submit(request: PredictRequest) -> None:  # to the version that answers by then
                self._submit(exchange, self._find(model, version, label), request)

            later(self._service, exchange, partial(read, large=True), submit, self)

    def _submit(self, exchange: Exchange, served: ServedVersion, request: PredictRequest) -> None:
        service, form = self._service, request.form

        def write(results: Mapping[str, np.ndarray]) -> Response:
            text = encode_predictions(results, form, nan_words=self._nan_words)
            return Response(200, _JSON, (text,))

        outputs = tuple([spec.name for spec in served.model.outputs])
        deadline, done = (
            service.deadline(exchange, served),
            answering(service, exchange, self, write),
        )
        served.engine.submit(Inference(request.arrays, outputs, deadline, done, exchange))

    def refused(self, verb: str) -> Callable[..., Response]:
        """Return what answers a verb that there is in V1, and not here."""

        def answer(*_: object, model: str, version: str = "", label: str = "") -> Response:
            self._find(model, version, label)
            raise InvalidRequest(f":{verb} is not implemented; use :predict", status=501)

        return answer

    def _find(self, model: str, version: str = "", label: str = "") -> ServedVersion:
        """Return a version; raises InvalidRequest with TF Serving's words when there is none."""
        library = self._service.library
        try:
            return library.tagged(model, label) if label else library.find(model, version)
        except UnknownModel:
            if label and model in library.open:
                told = f"Unrecognized servable version label: {label:.99}"
                raise InvalidRequest(told, status=404) from None
            which = f"Specific({model:.99}, {version:.99})" if version else f"Latest({model:.99})"
            told = f"Servable not found for request: {which}"
            raise InvalidRequest(told, status=404) from None


_REFUSED = ("classify", "regress", "explain")


def _status(entry: ModelIndex, answers: bool) -> VersionStatus:
    """Return a version's state; the old files of one answer until its new ones are open."""
    if answers:
        return VersionStatus(entry.version, "AVAILABLE")
    if entry.state == "LOADING":
        return VersionStatus(entry.version, "LOADING")
    return VersionStatus(entry.version, "END", "" if entry.reason == "unloaded" else entry.reason)
