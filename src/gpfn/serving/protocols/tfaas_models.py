"""TFaaS's paths for the models themselves: upload, list, parameters, files, delete, status."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from gpfn.errors import InvalidRequest
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.media import JSON
from gpfn.repository.documents import Manifest
from gpfn.serving.protocols.stored_file import file_answer, upload_receiver, who_asks
from gpfn.serving.repository.intake import PARAMS, unpack_form, unpack_raw
from gpfn.serving.routing import HttpProtocol, Route
from gpfn.serving.tokens import Forbidden
from gpfn.tfaas.answers import ListedModel, encode_models
from gpfn.tfaas.parameters import parameters_of

if TYPE_CHECKING:
    from gpfn.serving.repository.repository import Repository
    from gpfn.serving.repository.shelf import Shelf
    from gpfn.serving.repository.uploads import StoredVersion
    from gpfn.serving.service import Service

__all__ = ["TfaasModels"]

_JSON = (("content-type", JSON),)


class TfaasModels:
    """Routes of the adapter `gpfn.serving.protocols.tfaas.Tfaas`, which tells errors."""

    def __init__(self, service: Service, repository: Repository, protocol: HttpProtocol) -> None:
        self._service = service
        self._repository = repository
        self.receiver = partial(upload_receiver, service, repository)
        self._protocol = protocol
        self._began = time.monotonic()
        self._rows: dict[str, tuple[Shelf, bytes]] = {}
        found: list[Route] = []
        for end in ("", "/"):
            found += [
                Route("POST", f"/upload{end}", self.upload, "write", receive=self.receiver),
                Route("GET", f"/models{end}", self.models),
                Route("POST", f"/models{end}", self.models),  # as the client of 2018 asks
                Route("GET", f"/params{end}", self.params),
                Route("POST", f"/params{end}", self.set_params, "write"),
                Route("GET", f"/params/{{model}}{end}", self.params),
                Route("DELETE", f"/delete{end}", self.delete, "write"),
                Route("DELETE", f"/delete/{{model}}{end}", self.delete, "write"),
                Route("GET", f"/status{end}", self.status, ""),
            ]
        found.append(Route("GET", "/download/{model}/{path*}", self.download))
        self.routes: Sequence[Route] = found

    def upload(self, exchange: Exchange, body: bytes | memoryview) -> None:
        """Take a model in: a form or a bundle."""
        fields = exchange.fields.by_name
        query = parse_qs(exchange.request.target.partition("?")[2])
        name, tag = query.get("name", [""])[0], query.get("tag", [""])[0]
        form = "form-data" in fields.get("content-type", "").lower()
        base64 = fields.get("content-encoding", "").lower() == "base64"
        settings = self._repository.settings
        most, seconds = settings.max_upload, settings.upload_seconds
        unpack = (
            partial(unpack_form, name=name, base64=base64)
            if form
            else partial(unpack_raw, name=name, most=most, seconds=seconds)
        )

        who = who_asks(self._service, exchange)

        async def work() -> StoredVersion:
            received = await self._repository.uploads.receive(exchange, body)
            chosen = tag or received.fields.get("tag", "")
            return await self._repository.take_in(received, unpack, who=who, tag=chosen)

        self._service.background.answer_with(exchange, work(), self._protocol, _stored)

    def models(self, exchange: Exchange, _: object) -> None:
        """Return the list of models."""

        def then(shelves: Sequence[Shelf]) -> Response:
            self._rows = {shelf.name: self._row(shelf) for shelf in shelves}
            rows = b",".join([row for _, row in self._rows.values()])
            return Response(200, _JSON, (b"[%b]\n" % rows,))

        self._service.background.answer_with(
            exchange, self._repository.shelves(), self._protocol, then
        )

    def _row(self, shelf: Shelf) -> tuple[Shelf, bytes]:
        """Return a model's row of the list, which is written once for each state of the model."""
        known = self._rows.get(shelf.name)
        if known is not None and known[0] is shelf:
            return known
        return shelf, encode_models([_listed(shelf)])[1:-2]

    def params(self, exchange: Exchange, _: object, model: str = "") -> None:
        """Return params.json as it was uploaded, of the default model where none is named."""
        model = model or self._repository.default()
        if not model:
            raise InvalidRequest("names no model, and there is no default", field="model")

        async def work() -> Response:
            shelf = await self._repository.shelf(model)
            manifest = shelf.find()
            if all(file.path != PARAMS for file in manifest.files):
                return Response(200, _JSON, (orjson.dumps(dict(manifest.params)),))
            return await file_answer(self._repository, manifest, PARAMS, inline=JSON)

        self._service.background.answer_with(exchange, work(), self._protocol, _as_it_is)

    def set_params(self, *_: object) -> Response:
        """Refuse to choose the model of all clients for one of them."""
        told = "the default model is for who starts the server: --default; name it in the row"
        raise Forbidden(told, field="model")

    def delete(self, exchange: Exchange, body: bytes | memoryview, model: str = "") -> None:
        """Delete a model, named by the path, a form, the query or JSON."""
        model = model or _named(exchange, bytes(body))
        if not model:
            raise InvalidRequest("no model name is provided", field="model")
        work = self._repository.delete(model, who=who_asks(self._service, exchange))
        self._service.background.answer_with(
            exchange, work, self._protocol, lambda _: Response(200, (), (b"",))
        )

    def download(self, exchange: Exchange, _: object, model: str, path: str) -> None:
        """Return a file of the latest version."""

        async def work() -> Response:
            shelf = await self._repository.shelf(model)
            return await file_answer(self._repository, shelf.find(), path)

        self._service.background.answer_with(exchange, work(), self._protocol, _as_it_is)

    def status(self, *_: object) -> Response:
        """Return what TFaaS tells of its machine, and how many models are open."""
        memory = _memory()
        load = dict(zip(("load1", "load5", "load15"), os.getloadavg(), strict=True))
        library = self._service.library
        counts = [one.statistics.totals() for one in library.all_open()]
        document = {
            "status": "ok",
            "Load": load,
            "Memory": {"Virtual": memory},
            "Uptime": round(time.monotonic() - self._began, 2),
            "models": len(library.names()),
            "open": len(library.open),
            "predictions": int(sum(one.success for one in counts)),
            "failures": int(sum(one.failures for one in counts)),
        }
        return Response(200, _JSON, (orjson.dumps(document),))


def _as_it_is(response: Response) -> Response:
    return response


def _stored(stored: StoredVersion) -> Response:
    manifest = stored.manifest
    document = {
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "existed": stored.existed,
        "notes": manifest.notes,
    }
    return Response(200, _JSON, (orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE),))


def _listed(shelf: Shelf) -> ListedModel:
    manifest = shelf.find()
    parameters = parameters_of(dict(manifest.params))
    model = parameters.model or _shown_model(manifest)
    more: dict[str, Any] = {
        "version": manifest.version,
        "versions": sorted(shelf.versions),
        "tags": shelf.tags,
        "kind": manifest.kind,
    }
    return ListedModel(shelf.name, model, manifest.labels, parameters, manifest.when, more)


def _shown_model(manifest: Manifest) -> str:
    return "saved_model.pb" if manifest.model == "." else manifest.model


def _named(exchange: Exchange, body: bytes) -> str:
    """Return the model that a request names in its query, a form or JSON."""
    from gpfn.images.sources import multipart_fields

    query = parse_qs(exchange.request.target.partition("?")[2])
    media_type = exchange.fields.by_name.get("content-type", "")
    if "model" in query or not body:
        return query.get("model", [""])[0]
    if "form-data" in media_type:
        value: object = multipart_fields(body, media_type).get("model", "")
    elif body[:1] == b"{":
        value = _json_member(body, "model")
    else:
        value = parse_qs(body[:4096].decode("latin-1")).get("model", [""])[0]
    return value if isinstance(value, str) else ""


def _json_member(body: bytes, name: str) -> object:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"not JSON: {error}", field="body") from None
    return document.get(name, "") if isinstance(document, dict) else ""


def _memory() -> dict[str, int]:
    """Return the machine's memory in bytes, by the names that TFaaS has for it."""
    found: dict[str, int] = {}
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in _MEMORY:
                found[_MEMORY[name]] = int(value.split()[0]) << 10
    return found


_MEMORY = {"MemTotal": "total", "MemFree": "free", "MemAvailable": "available"}
