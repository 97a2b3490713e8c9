"""TFaaS over HTTP, both generations of its paths: rows, pictures, and the models themselves.

What its clients read is the same to the byte: the bare list of numbers for a row, labels for a
picture, ``Predictions`` for protobuf, ``{"error": ...}`` for what failed. Statuses say whose
fault it is, where TFaaS says 500, and a row that names no model is never for whichever model
somebody has uploaded last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.media import JSON, OCTETS
from gpfn.public_text import public_text
from gpfn.serving.answers import headers_of
from gpfn.serving.engine.inference import Inference
from gpfn.serving.large import LARGE_BODY, answering, later
from gpfn.serving.library import MOST_WAKES, Asleep
from gpfn.serving.protocols.stored_file import peer_of
from gpfn.serving.protocols.tfaas_inputs import (
    PictureInput,
    RowInputs,
    picture_input,
    picture_tensor,
    row_inputs,
)
from gpfn.serving.protocols.tfaas_models import TfaasModels
from gpfn.serving.repository.rate import LimitExceeded, Rate, RateLimit
from gpfn.serving.routing import Route, not_found
from gpfn.tfaas.answers import encode_error, encode_labels, encode_values
from gpfn.tfaas.messages import PredictionsEncoder, RowMessageDecoder
from gpfn.tfaas.row import FeatureRow, RowDecoder

if TYPE_CHECKING:
    import numpy as np

    from gpfn.serving.repository.repository import Repository
    from gpfn.serving.service import Service
    from gpfn.serving.version import ServedVersion

    _Write = Callable[[ServedVersion, FeatureRow, np.ndarray], Response]

__all__ = ["Tfaas"]

_JSON = (("content-type", JSON),)
_OCTETS = (("content-type", OCTETS),)


class Tfaas:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`."""

    prefixes = (
        "/upload", "/json", "/proto", "/image", "/predict", "/models", "/params", "/delete",
        "/status", "/download",
    )  # fmt: skip

    def __init__(self, service: Service, repository: Repository) -> None:
        self._service = service
        self._repository = repository
        limits = service.settings.limits
        self._rows = RowDecoder(limits)
        self._messages = RowMessageDecoder(limits)
        self.models = TfaasModels(service, repository, self)
        routes = (*self._asking(), *self.models.routes)
        rate = repository.settings.rate
        self.routes = tuple(map(_Limited(rate).limit, routes)) if rate else routes

    def _asking(self) -> Sequence[Route]:
        asked = (("json", self.json), ("proto", self.proto), ("image", self.image))
        return [
            Route("POST", f"{before}/{kind}{behind}", answer)
            for kind, answer in asked
            for before in ("", "/predict")
            for behind in ("", "/")
        ]

    def failure(self, error: BaseException, accept: str | None = None) -> Response:
        """Return the error's document, which is JSON for protobuf as well."""
        del accept
        known = error if isinstance(error, GpfnError) else GpfnError("internal error; see the log")
        body = encode_error(public_text(str(known)))
        headers = (*_JSON, *headers_of(known))
        if isinstance(known, LimitExceeded):
            told = (("limit", known.limit), ("remaining", 0), ("reset", known.reset))
            headers += tuple((f"x-ratelimit-{name}", str(value)) for name, value in told)
        return Response(known.status, headers, (body,))

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        """Return 404 or 405."""
        del method
        return not_found(path, allowed)

    def json(self, exchange: Exchange, body: bytes | memoryview) -> None:
        """Answer a row with the first output, a bare list."""
        self._ask(exchange, body, self._rows.decode, self._json_answer)

    def proto(self, exchange: Exchange, body: bytes | memoryview) -> None:
        """Answer a row that is a protocol buffer."""
        self._ask(exchange, body, self._messages.decode, self._proto_answer)

    def _ask(
        self,
        exchange: Exchange,
        body: bytes | memoryview,
        read: Callable[[bytes | memoryview], FeatureRow],
        write: _Write,
    ) -> None:
        if len(body) > LARGE_BODY:
            submit = partial(self._submit_late, exchange, write)
            later(self._service, exchange, partial(read, body), submit, self)
        else:
            self._submit(exchange, write, read(body))

    def _submit(self, exchange: Exchange, write: _Write, row: FeatureRow) -> None:
        served = self._find(row.model)
        inputs: RowInputs = served.notes.get("tfaas") or self._row_inputs(served)
        arrays = inputs.arrays(row)

        def answer(results: Mapping[str, np.ndarray]) -> Response:
            return write(served, row, next(iter(results.values())))

        self._compute(exchange, served, arrays, answer)

    def _submit_late(
        self, exchange: Exchange, write: _Write, row: FeatureRow, woken: int = 0
    ) -> None:
        """Submit a row that was read in a thread; its model is woken here if need be."""
        try:
            self._submit(exchange, write, row)
        except Asleep as asleep:
            if woken == MOST_WAKES:
                raise
            wake = self._wake(exchange, write, row, asleep, woken + 1)
            self._service.background.spawn(wake)

    async def _wake(
        self, exchange: Exchange, write: _Write, row: FeatureRow, asleep: Asleep, woken: int
    ) -> None:
        try:
            await self._service.wake(asleep)
            self._submit_late(exchange, write, row, woken)
        except Exception as error:  # noqa: BLE001 - every request is answered
            self._service.fail(exchange, error, self)

    def _compute(
        self,
        exchange: Exchange,
        served: ServedVersion,
        arrays: Mapping[str, np.ndarray],
        answer: Callable[[Mapping[str, np.ndarray]], Response],
    ) -> None:
        service = self._service
        outputs = tuple([spec.name for spec in served.model.outputs[:1]])
        deadline = service.deadline(exchange, served)
        done = answering(service, exchange, self, answer)
        served.engine.submit(Inference(arrays, outputs, deadline, done, exchange))

    def _json_answer(self, _: ServedVersion, row: FeatureRow, output: np.ndarray) -> Response:
        text = encode_values(output if row.several else _first_row(output))
        return Response(200, _JSON, (text,))

    def _proto_answer(self, served: ServedVersion, _: FeatureRow, output: np.ndarray) -> Response:
        encoder = served.notes.get("tfaas-proto")
        if encoder is None:
            encoder = served.notes["tfaas-proto"] = PredictionsEncoder(served.labels)
        return Response(200, _OCTETS, (encoder.encode(_first_row(output)),))

    def image(self, exchange: Exchange, body: bytes | memoryview) -> None:
        """Answer a picture with its best classes, or with the bare list where there are none."""
        from urllib.parse import parse_qs

        from gpfn.images.sources import FormPart, form_parts

        media_type = exchange.fields.by_name.get("content-type", "")
        parts = {part.name: part for part in reversed(form_parts(bytes(body), media_type))}
        query = parse_qs(exchange.request.target.partition("?")[2])
        given = parts.get("model", FormPart("", None, query.get("model", [""])[0])).content
        picture = parts.get("image")
        if picture is None or isinstance(picture.content, str):
            raise InvalidRequest("the form has no file image", field="image")
        served = self._find(given if isinstance(given, str) else "")
        wanted = served.notes.get("tfaas-picture") or self._picture_input(served)
        pixels = self._service.settings.limits.pixels
        data, filename = picture.content, picture.filename or ""

        def compute(tensor: np.ndarray) -> None:
            answer = partial(self._image_answer, served, filename)
            self._compute(exchange, served, {wanted.name: tensor}, answer)

        later(self._service, exchange, partial(picture_tensor, data, wanted, pixels), compute, self)

    def _image_answer(
        self, served: ServedVersion, filename: str, results: Mapping[str, np.ndarray]
    ) -> Response:
        output = _first_row(next(iter(results.values()))).reshape(-1)
        if served.labels and len(output) > 1:
            return Response(200, _JSON, (encode_labels(filename, served.labels, output),))
        return Response(200, _JSON, (encode_values(output),))

    # parts

    def _find(self, model: str) -> ServedVersion:
        return self._service.library.find(model or self._repository.default())

    def _row_inputs(self, served: ServedVersion) -> RowInputs:
        """Work out how rows become a version's inputs, once."""
        params = self._repository.params(served.name, served.version)
        found = row_inputs(served.model.inputs, params.uploaded.get("features"))
        served.notes["tfaas"] = found
        return found

    def _picture_input(self, served: ServedVersion) -> PictureInput:
        params = self._repository.params(served.name, served.version)
        found = picture_input(served.model.inputs, params.image, params.channels)
        served.notes["tfaas-picture"] = found
        return found


class _Limited:
    """Routes of which each client may use so many in a while, all of them together."""

    def __init__(self, rate: str) -> None:
        self._limit = RateLimit(Rate.parse(rate))

    def limit(self, route: Route) -> Route:
        """Return a route that counts who uses it."""

        def answer(exchange: Exchange, body: bytes | memoryview, **names: str) -> Response | None:
            peer = peer_of(exchange)
            self._limit.check(peer)
            try:
                return route.answer(exchange, body, **names)
            except Asleep:  # it comes again, when the model has been woken
                self._limit.give_back(peer)
                raise

        return route._replace(answer=answer)


def _first_row(output: np.ndarray) -> np.ndarray:
    """Return the first row of an output, or all of one that has no rows."""
    return output[0] if output.ndim > 1 else output
