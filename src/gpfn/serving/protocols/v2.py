"""Open Inference Protocol v2 over REST, with the extensions of Triton's clients, under /v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpfn.errors import GpfnError, InvalidRequest, InvalidTensor
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.oip.body import JSON_SIZE, is_raw, json_part
from gpfn.oip.documents import error_body
from gpfn.oip.repeats import InferDecoder
from gpfn.oip.reply import encode_reply
from gpfn.oip.request import InferCall, decode_raw_infer, time_allowed
from gpfn.serving.answers import headers_of
from gpfn.serving.compression import compressed
from gpfn.serving.engine.inference import Inference
from gpfn.serving.large import LARGE_BODY, answering, hold_parsed, is_large, later
from gpfn.serving.protocols.v2_documents import VERSIONED, Documents
from gpfn.serving.routing import Route, not_found
from gpfn.tensors.dtypes import OPEN_INFERENCE_NAMES

if TYPE_CHECKING:
    from gpfn.serving.service import Service
    from gpfn.serving.version import ServedVersion

__all__ = ["Expected", "OpenInference", "check_datatypes", "expected_of", "outputs_wanted"]

_JSON = (("content-type", "application/json"),)
_HEADER = JSON_SIZE.lower()
_LARGE_DATA = 4 << 20
"""Bytes of numbers that take about a millisecond to copy, which not all need."""


class Expected(NamedTuple):
    """What requests to a model are held against: datatypes of inputs, names of outputs."""

    datatypes: Mapping[str, str]
    outputs: Sequence[str]


class OpenInference:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`."""

    prefixes = ("/v2",)

    def __init__(self, service: Service) -> None:
        self._service = service
        self._nan_words = service.settings.nan_words
        self._decoder = InferDecoder(service.settings.limits, nan_words=self._nan_words)
        infer = [Route("POST", f"{path}/infer", self.infer, body=True) for path in VERSIONED]
        self.routes = (*infer, *Documents(service, self).routes)

    def failure(self, error: BaseException, accept: str | None) -> Response:  # noqa: ARG002
        """Return ``{"error": …}``, whatever is accepted."""
        status = error.status if isinstance(error, GpfnError) else 500
        return Response(status, (*_JSON, *headers_of(error)), (error_body(error),))

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:  # noqa: ARG002
        """Return 404 or 405."""
        return not_found(path, allowed)

    def infer(
        self, exchange: Exchange, body: bytes | memoryview, model: str, version: str = ""
    ) -> None:
        """Compute."""
        found = self._service.library.find(model, version)
        size = exchange.fields.by_name.get(_HEADER)
        if size is None and len(body) <= LARGE_BODY:  # as nearly always
            self._submit(exchange, found, self._decoder.decode(body, size))
        elif len(body) > LARGE_BODY and self._takes_long(exchange, body):
            read = partial(self._read_large, exchange, body, found)

            def submit(call: InferCall) -> None:  # to the version that answers by then
                self._submit(exchange, self._service.library.find(model, version), call)

            later(self._service, exchange, read, submit, self)
        else:
            self._submit(exchange, found, self._read(exchange, body, found))

    def _submit(self, exchange: Exchange, found: ServedVersion, call: InferCall) -> None:
        service, model = self._service, found.name
        expected: Expected = found.notes.get("v2") or expected_of(found)
        if call.datatypes != expected.datatypes:
            check_datatypes(call, expected.datatypes, model)
        names: Sequence[str] = ()
        if call.outputs:
            names = outputs_wanted([one.name for one in call.outputs], expected.outputs, model)

        def write(results: Mapping[str, np.ndarray]) -> Response:
            return self._reply(exchange, found, results, names, call)

        def large(results: Mapping[str, np.ndarray]) -> bool:
            return _is_large(results, call, exchange)

        seconds = time_allowed(call.parameters) if call.parameters else None
        deadline = service.deadline(exchange, found, seconds)
        done = answering(service, exchange, self, write, large)
        found.engine.submit(Inference(call.inputs, names, deadline, done, exchange))

    def _takes_long(self, exchange: Exchange, body: bytes | memoryview) -> bool:
        """Say whether reading a large body is for a thread: JSON and strings are."""
        text = _json_of(exchange, body)
        slow = len(text) > LARGE_BODY or len(body) > _LARGE_DATA
        return slow or b"BYTES" in text or b"\\" in text  # which may be spelled by escapes

    def _read_large(
        self, exchange: Exchange, body: bytes | memoryview, found: ServedVersion
    ) -> InferCall:
        hold_parsed(self._service, exchange, _json_of(exchange, body))
        return self._read(exchange, body, found)

    def _read(
        self, exchange: Exchange, body: bytes | memoryview, found: ServedVersion
    ) -> InferCall:
        size = exchange.fields.by_name.get(_HEADER)
        if size is None or not is_raw(size):
            return self._decoder.decode(body, size)
        inputs = found.model.inputs
        if len(inputs) != 1:
            told = f"a body without JSON is for models of one input; '{found.name}' has "
            raise InvalidRequest(f"{told}{len(inputs)}", field=_HEADER)
        return decode_raw_infer(
            body, inputs[0], self._service.settings.limits, batched=bool(found.max_batch)
        )

    def _reply(
        self,
        exchange: Exchange,
        found: ServedVersion,
        results: Mapping[str, np.ndarray],
        names: Sequence[str],
        call: InferCall,
    ) -> Response:
        pieces, size = encode_reply(
            found.name,
            found.version,
            {name: results[name] for name in names} if names else results,
            call,
            labels=found.labels,
            batched=bool(found.max_batch),
            nan_words=self._nan_words,
        )
        headers = _JSON if size is None else _binary(size)
        accepted = exchange.fields.by_name.get("accept-encoding")
        response = Response(200, headers, pieces)
        return compressed(response, accepted) if accepted else response


def _json_of(exchange: Exchange, body: bytes | memoryview) -> bytes:
    """Return the JSON of a body; raises InvalidRequest when nobody can say where it ends."""
    size = exchange.fields.by_name.get(_HEADER)
    if size is None:
        return bytes(body)
    return b"" if is_raw(size) else bytes(body[: json_part(size, len(body))])


def _is_large(results: Mapping[str, np.ndarray], call: InferCall, exchange: Exchange) -> bool:
    """Say whether a reply is written in a thread; bytes of numbers need no writing."""
    if not is_large(results):
        return False
    asked = call.outputs
    plain = all(one.binary and not one.classification for one in asked) if asked else call.binary
    strings = any(array.dtype.kind == "O" for array in results.values())
    return not plain or strings or "accept-encoding" in exchange.fields.by_name


def _binary(size: int) -> tuple[tuple[str, str], ...]:
    return (("content-type", "application/octet-stream"), (_HEADER, str(size)))


def expected_of(found: ServedVersion) -> Expected:
    """Work out what requests to a version are held against, once."""
    expected = found.notes["v2"] = Expected(
        {spec.name: OPEN_INFERENCE_NAMES[spec.dtype] for spec in found.model.inputs},
        [spec.name for spec in found.model.outputs],
    )
    return expected


def check_datatypes(call: Any, expected: Mapping[str, str], model: str) -> None:
    """Raise InvalidTensor unless the inputs are the model's, of its datatypes.

    BF16 stands for FP32, whose values it has. A function that declares no inputs takes all.
    """
    given = call.datatypes
    if given == expected or not expected:
        return
    for name, datatype in given.items():
        want = expected.get(name)
        if want is None:
            raise InvalidTensor(f"unexpected inference input '{name}' for model '{model}'")
        if want != datatype and (want, datatype) != ("FP32", "BF16"):
            told = f"data-type is '{datatype}', but model '{model}' expects '{want}'"
            raise InvalidTensor(f"inference input '{name}' {told}", field=f"inputs.{name}")
    missing = [name for name in expected if name not in given]
    if missing:
        told = f"expected {len(expected)} inputs but got {len(given)} inputs for model '{model}'"
        raise InvalidTensor(f"{told}; missing required input(s) {missing}", field="inputs")


def outputs_wanted(asked: Sequence[str], known: Sequence[str], model: str) -> Sequence[str]:
    """Return the outputs that were asked for in the model's order; nothing stands for all.

    Raises InvalidTensor for one that the model does not have.
    """
    if not asked or not known:
        return asked
    for name in asked:
        if name not in known:
            told = f"unexpected inference output '{name}' for model '{model}'"
            raise InvalidTensor(told, field="outputs")
    return [name for name in known if name in asked]
