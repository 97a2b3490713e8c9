"""What the service tells besides inference: messages made of the documents that REST answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpfn.oip.documents import (
    model_config,
    model_metadata,
    model_statistics,
    repository_index,
    server_metadata,
)
from gpfn.oip.grpc_schema import RPCS, message_class
from gpfn.serving.protocols.v2_documents import EXTENSIONS, platform_of, statistics_of

if TYPE_CHECKING:
    from gpfn.serving.service import Service

__all__ = ["GrpcDocuments"]


class GrpcDocuments:
    """Answers the calls that ask what there is; each takes the request's message."""

    def __init__(self, service: Service) -> None:
        self._library = service.library
        self._version = service.version

    def ServerMetadata(self, _: Any) -> bytes:  # noqa: N802 - the calls have these names
        """Return name, version and extensions."""
        return _message("ServerMetadata", server_metadata("gpfn", self._version, EXTENSIONS))

    def ModelMetadata(self, asked: Any) -> bytes:  # noqa: N802
        """Return what a model takes and gives; raises UnknownModel or NotReady."""
        served = self._library.find(asked.name, asked.version)
        versions = [served.version] if asked.version else self._library.versions(asked.name)
        tensors = served.model.inputs, served.model.outputs
        told = model_metadata(served.name, versions, platform_of(served), *tensors)
        return _message("ModelMetadata", told)

    def ModelConfig(self, asked: Any) -> bytes:  # noqa: N802
        """Return a model's configuration, as far as clients read it."""
        served = self._library.find(asked.name, asked.version)
        told = model_config(
            served.name,
            served.model.inputs,
            served.model.outputs,
            platform=platform_of(served),
            backend=served.backend,
            max_batch=served.max_batch,
        )
        return _message("ModelConfig", {"config": told})

    def ModelStatistics(self, asked: Any) -> bytes:  # noqa: N802
        """Return what the versions of a model, or of all, have done."""
        library = self._library
        if asked.name:
            library.find(asked.name, asked.version)
        counted = [
            statistics_of(served)
            for served in library.all_open()
            if asked.name in ("", served.name) and asked.version in ("", served.version)
        ]
        return _message("ModelStatistics", model_statistics(counted))

    def RepositoryIndex(self, asked: Any) -> bytes:  # noqa: N802
        """Return every version that is known, or those that are ready."""
        models = repository_index(self._library.index(), ready=asked.ready)
        return _message("RepositoryIndex", {"models": models})


def _message(rpc: str, document: Mapping[str, Any]) -> bytes:
    from google.protobuf import json_format

    message = message_class(RPCS[rpc].response)()
    json_format.ParseDict(dict(document), message, ignore_unknown_fields=True)
    return bytes(message.SerializeToString())
