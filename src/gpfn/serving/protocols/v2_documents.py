"""What a server of OIP v2 says of itself and its models; loading and unloading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gpfn.call.opening import NotReady
from gpfn.errors import InvalidRequest, TooLarge
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.oip.documents import (
    ModelStatistics,
    model_config,
    model_metadata,
    model_statistics,
    repository_index,
    server_metadata,
)
from gpfn.serving.answers import json_page
from gpfn.serving.routing import HttpProtocol, Route

if TYPE_CHECKING:
    from gpfn.serving.service import Service
    from gpfn.serving.version import ServedVersion

__all__ = ["EXTENSIONS", "VERSIONED", "Documents", "platform_of", "statistics_of"]

EXTENSIONS = (
    "classification",
    "model_repository",
    "model_configuration",
    "statistics",
    "binary_tensor_data",
)
"""The extensions that are answered, by their names in the server's metadata."""
VERSIONED = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
"""Where a model is."""


class Documents:
    """Everything under /v2 but inference."""

    def __init__(self, service: Service, protocol: HttpProtocol) -> None:
        self._service = service
        self._protocol = protocol
        self.routes = (
            Route("GET", "/v2", self.server, ""),
            Route("GET", "/v2/health/live", self.live, "", vital=True),
            Route("GET", "/v2/health/ready", self.ready, "", vital=True),
            Route("GET", "/v2/models", self.models),
            Route("GET", "/v2/models/stats", self.statistics),
            *self._versioned(),
            *self._repository(),
        )

    def _versioned(self) -> list[Route]:
        table = (
            ("", self.metadata, "predict"),
            ("/ready", self.model_ready, ""),
            ("/config", self.config, "predict"),
            ("/stats", self.statistics, "predict"),
        )
        return [
            Route("GET", f"{path}{end}", answer, scope)
            for path in VERSIONED
            for end, answer, scope in table
        ]

    def _repository(self) -> list[Route]:
        table = (
            ("/index", self.index, "predict"),
            ("/models/{model}/load", self.load, "write"),
            ("/models/{model}/unload", self.unload, "write"),
        )
        return [
            Route("POST", f"{path}{end}", answer, scope, body=True)
            for path in ("/v2/repository", "/v2/repository/{repository}")
            for end, answer, scope in table
        ]

    def server(self, *_: object) -> Response:
        """Return the server's metadata."""
        return json_page(server_metadata("gpfn", self._service.version, EXTENSIONS))

    def live(self, *_: object) -> Response:
        """Say whether the loop turns and nobody has ended it."""
        return json_page({"live": self._service.alive()}, 200 if self._service.alive() else 503)

    def ready(self, *_: object) -> Response:
        """Say whether every model that was asked for answers."""
        ready = self._service.ready
        return json_page({"live": self._service.alive(), "ready": ready}, 200 if ready else 503)

    def models(self, *_: object) -> Response:
        """Return the names of the models that answer."""
        return json_page({"models": self._service.library.open_names()})

    def index(self, _: Exchange, body: bytes | memoryview, repository: str = "") -> Response:  # noqa: ARG002
        """Return every version that is known, and its state."""
        only = _object(body).get("ready", False)
        return json_page(repository_index(self._service.library.index(), ready=only is True))

    # what it says of a model

    def metadata(self, _: Exchange, __: object, model: str, version: str = "") -> Response:
        """Return a model's versions, inputs and outputs."""
        library = self._service.library
        found = library.find(model, version)
        versions = [version] if version else library.versions(model)
        tensors = found.model.inputs, found.model.outputs
        return json_page(model_metadata(model, versions, platform_of(found), *tensors))

    def model_ready(self, _: Exchange, __: object, model: str, version: str = "") -> Response:
        """Say whether a model answers; it is an error otherwise."""
        self._service.library.find(model, version)
        if not self._service.keeper.all_began:
            raise NotReady("another process is still opening its models")
        return json_page({"name": model, "ready": True})

    def config(self, _: Exchange, __: object, model: str, version: str = "") -> Response:
        """Return a model's configuration in Triton's words."""
        found = self._service.library.find(model, version)
        return json_page(
            model_config(
                model,
                found.model.inputs,
                found.model.outputs,
                platform=platform_of(found),
                backend=found.backend,
                max_batch=found.max_batch,
            )
        )

    def statistics(self, _: Exchange, __: object, model: str = "", version: str = "") -> Response:
        """Return what has been counted of all versions, of a model's, or of one."""
        library = self._service.library
        if model:
            library.find(model, version)
        found = [
            statistics_of(one)
            for one in library.all_open()
            if model in ("", one.name) and version in ("", one.version)
        ]
        return json_page(model_statistics(found))

    # what it does

    def load(
        self,
        exchange: Exchange,
        body: bytes | memoryview,
        model: str,
        repository: str = "",  # noqa: ARG002
    ) -> None:
        """Have a model served, all processes; answered when it is."""
        parameters = _object(body).get("parameters") or {}
        if parameters:
            told = "what a model is comes from its files here, not from a request"
            raise InvalidRequest(told, field="parameters")
        service = self._service
        work = service.loader(model).load(model)
        service.background.answer_with(exchange, work, self._protocol, _done)

    def unload(
        self,
        exchange: Exchange,
        body: bytes | memoryview,
        model: str,
        repository: str = "",  # noqa: ARG002
    ) -> None:
        """Have a model served no more; answered when no process does."""
        _object(body)
        service = self._service
        work = service.loader(model).unload(model)
        service.background.answer_with(exchange, work, self._protocol, _done)


def _done(_: object) -> Response:
    return Response(200, (("content-type", "application/json"),), ())


def platform_of(found: ServedVersion) -> str:
    """Return what clients are told computes a version, by Triton's names where it has one."""
    return _PLATFORMS.get(found.backend, found.backend)


_PLATFORMS = {"tensorflow": "tensorflow_savedmodel", "onnx": "onnxruntime_onnx"}


_LONGEST = 64 << 10
"""Bytes of a request that is read on the loop."""


def _object(body: bytes | memoryview) -> dict[str, Any]:
    """Return the object in a body, which may be empty."""
    if not body:
        return {}
    if len(body) > _LONGEST:
        raise TooLarge(f"at most {_LONGEST} bytes are read here, got {len(body)}", field="body")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"not JSON: {error}", field="body") from None
    if type(found) is not dict or not isinstance(found.get("parameters") or {}, dict):
        raise InvalidRequest("expected an object, its parameters one as well", field="body")
    return found


def statistics_of(served: ServedVersion) -> ModelStatistics:
    """Return the counts of a version, summed over all processes.

    Stacking rows and sharing them out is part of ``compute_infer``: the other two steps of
    computing have their counts, and no time.
    """
    totals = served.statistics.totals()
    count = round(totals.success)
    return ModelStatistics(
        served.name,
        served.version,
        round(totals.last * 1000),
        round(totals.rows),
        round(totals.batches),
        {
            "success": (count, _ns(totals.duration[1])),
            "fail": (round(totals.failures), _ns(totals.failed_seconds)),
            "queue": (round(totals.queue[0]), _ns(totals.queue[1])),
            "compute_input": (count, 0),
            "compute_infer": (round(totals.compute[0]), _ns(totals.compute[1])),
            "compute_output": (count, 0),
        },
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
