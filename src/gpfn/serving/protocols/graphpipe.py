"""GraphPipe over HTTP: at / for the first model, at /graphpipe/NAME for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gpfn.errors import GpfnError, InvalidMessage, UnsupportedMedia
from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.encode import encode_metadata, encode_response
from gpfn.graphpipe.messages import InferRequest, InferResponse, MetadataRequest
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.media import is_json
from gpfn.serving.answers import failure, graphpipe
from gpfn.serving.engine.inference import Inference
from gpfn.serving.large import LARGE_BODY, LARGE_REPLY, answering, later
from gpfn.serving.protocols.graphpipe_tensors import Questions, describe
from gpfn.serving.routing import Route, not_found

if TYPE_CHECKING:
    from gpfn.serving.service import Service
    from gpfn.serving.version import ServedVersion

__all__ = ["GraphPipe"]

_response: Callable[..., InferResponse] = tuple.__new__
_LARGE_DATA = 1 << 20
"""A message of as many bytes is read in a thread, whatever the model takes: it may be strings."""


class GraphPipe:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`."""

    prefixes = ("/graphpipe", "/control", "/metrics", "/")

    def __init__(self, service: Service) -> None:
        self._service = service
        self.routes = (
            Route("POST", "/", self.infer, body=True),
            Route("POST", "/graphpipe/{model}", self.infer, body=True),
        )

    def failure(self, error: BaseException, accept: str | None) -> Response:
        """Return a message or text, as ``accept`` says."""
        return failure(error, accept)

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:  # noqa: ARG002
        """Return 404 or 405."""
        return not_found(path, allowed)

    def infer(
        self, exchange: Exchange, body: bytes | memoryview, model: str = ""
    ) -> Response | None:
        """Answer an inference, or a question for metadata."""
        if len(body) > LARGE_BODY and self._takes_long(body, model):
            service = self._service
            read, answer = partial(self._read, exchange, body), service.answer

            def go_on(message: InferRequest | MetadataRequest) -> None:
                response = self._answer(exchange, message, model)
                if response is not None:
                    answer(exchange, response)

            later(service, exchange, read, go_on, self)
            return None
        return self._answer(exchange, self._read(exchange, body), model)

    def _takes_long(self, body: bytes | memoryview, model: str) -> bool:
        """Say whether reading a large body is for a thread: strings are, of any model."""
        inputs = self._find(model).model.inputs
        return len(body) > _LARGE_DATA or any(spec.dtype == "string" for spec in inputs)

    def _find(self, model: str) -> ServedVersion:
        library = self._service.library
        return library.find(model or library.first)

    def _answer(
        self, exchange: Exchange, message: InferRequest | MetadataRequest, model: str
    ) -> Response | None:
        service, served = self._service, self._find(model)
        accept = exchange.fields.by_name.get("accept")
        if not isinstance(message, InferRequest):
            told = describe(served.model, "gpfn", service.version)
            return graphpipe(200, encode_metadata(told), accept)
        questions = _questions(served)
        question = questions.complete(message)
        names, engine = question.output_names, served.engine
        if question.config:
            onward = served.engine_for(question.config)
            if onward is not None:  # then names of outputs are the next stage's as well
                names, engine = message.output_names, onward

        def write(results: Mapping[str, np.ndarray]) -> Response:
            tensors = questions.outputs(results, names)
            buffers = encode_response(_response(InferResponse, (tensors, ())))
            return graphpipe(200, buffers, accept)

        deadline = service.deadline(exchange, served)
        done = answering(service, exchange, self, write, _is_large)
        inputs = questions.inputs(question)
        engine.submit(Inference(inputs, names, deadline, done, exchange))
        return None

    def _read(self, exchange: Exchange, body: bytes | memoryview) -> InferRequest | MetadataRequest:
        try:
            return decode_request(body, self._service.settings.limits)
        except InvalidMessage as error:
            if is_json(exchange.fields.by_name.get("content-type", "")) or body[:1] == b"{":
                told = "this speaks GraphPipe; JSON goes to /v2/models/NAME/infer"
                raise UnsupportedMedia(told, field="content-type") from error
            raise


def _is_large(results: Mapping[str, np.ndarray]) -> bool:
    """Say whether a reply is written in a thread; bytes of numbers need no writing."""
    strings = [array.size for array in results.values() if array.dtype.kind == "O"]
    return sum(strings) > LARGE_REPLY


def _questions(served: ServedVersion) -> Questions:
    found: Questions | None = served.notes.get("graphpipe")
    if found is None:
        found = served.notes["graphpipe"] = Questions(served.model)
    return found
