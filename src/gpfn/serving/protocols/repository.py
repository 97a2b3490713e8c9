"""The repository's own paths: versions by their digests, tags, files, the trash; JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from gpfn.errors import GpfnError, InvalidRequest, error_document
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.media import PROBLEM
from gpfn.repository.documents import (
    WHOLE_FOLDER,
    Manifest,
    check_files,
    check_params,
    content_digest,
    manifest_document,
)
from gpfn.repository.names import (
    check_digest,
    check_model_name,
    check_path,
    check_tag,
    check_version,
    version_number,
)
from gpfn.repository.record import JsonRecord, parse_object
from gpfn.repository.tags import tag_change_document
from gpfn.serving.answers import headers_of, json_page
from gpfn.serving.protocols.stored_file import file_answer, upload_receiver, who_asks
from gpfn.serving.repository.pushing import keep_ahead, missing_files
from gpfn.serving.routing import Route, not_found

if TYPE_CHECKING:
    from gpfn.serving.repository.repository import Repository
    from gpfn.serving.repository.shelf import Shelf
    from gpfn.serving.repository.uploads import StoredVersion
    from gpfn.serving.service import Service

__all__ = ["RepositoryApi"]

_BODY_BYTES = 16 << 20


class RepositoryApi:
    """The adapter; see `gpfn.serving.routing.HttpProtocol`."""

    prefixes = ("/repository",)

    def __init__(self, service: Service, repository: Repository) -> None:
        self._service = service
        self._repository = repository
        self.receiver = partial(upload_receiver, service, repository)
        model = "/repository/models/{model}"
        version = f"{model}/versions/{{version}}"
        self.routes: Sequence[Route] = (
            Route("GET", "/repository/models", self.models),
            Route("GET", model, self.model),
            Route("DELETE", model, self.delete, "write"),
            Route("POST", f"{model}/versions", self.push, "write", body=True),
            Route("DELETE", version, self.delete, "write"),
            Route("POST", f"{version}/restore", self.restore, "write"),
            Route("GET", f"{version}/files/{{path*}}", self.file),
            Route("PUT", "/repository/files/{sha256}", self.keep, "write", receive=self.receiver),
            Route("PUT", f"{model}/tags/{{tag}}", self.tag, "write", body=True),
            Route("DELETE", f"{model}/tags/{{tag}}", self.untag, "write"),
        )

    def failure(self, error: BaseException, accept: str | None = None) -> Response:
        """Return a problem document (RFC 9457)."""
        del accept
        status = error.status if isinstance(error, GpfnError) else 500
        document: dict[str, Any] = dict(error_document(error)["error"])
        if isinstance(error, _Missing):
            document["missing"] = error.missing
        headers = (("content-type", PROBLEM), *headers_of(error))
        return Response(status, headers, (orjson.dumps(document),))

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        """Return 404 or 405."""
        del method
        return not_found(path, allowed)

    # questions

    def models(self, exchange: Exchange, _: object) -> None:
        """Return all models with their versions and tags."""
        shelves = self._repository.shelves()
        self._service.background.answer_with(exchange, shelves, self, _models)

    def model(self, exchange: Exchange, _: object, model: str) -> None:
        """Return one model: manifests, tags and how they moved, and the trash."""
        states = {
            entry.version: {"state": entry.state, "reason": entry.reason}
            for entry in self._service.library.index()
            if entry.name == model
        }

        def then(shelf: Shelf) -> Response:
            if not (shelf.versions or shelf.trash):
                shelf.find()  # raises that there is no such model
            return _model(shelf, states)

        self._service.background.answer_with(exchange, self._repository.shelf(model), self, then)

    def file(self, exchange: Exchange, _: object, model: str, version: str, path: str) -> None:
        """Return a file of a version."""

        async def work() -> Response:
            shelf = await self._repository.shelf(model)
            return await file_answer(self._repository, shelf.find(version), path)

        self._service.background.answer_with(exchange, work(), self, _as_it_is)

    # changes

    def keep(self, exchange: Exchange, body: bytes | memoryview, sha256: str) -> None:
        """Keep a file until its version comes."""
        check_digest(sha256, field="path")

        async def work() -> Response:
            received = await self._repository.uploads.receive(exchange, body)
            await self._repository.in_thread(keep_ahead, received, sha256)
            return Response(204, (), ())

        self._service.background.answer_with(exchange, work(), self, _as_it_is)

    def push(self, exchange: Exchange, body: bytes | memoryview, model: str) -> None:
        """Make a version of files that are here; tells which ones are not."""
        asked = parse_object(body, _BODY_BYTES)
        files = check_files(asked)
        check_model_name(model, field="path")
        params = asked.values.get("params")
        tag = asked.values.get("tag") or ""
        if tag:
            check_tag(tag)
        draft = Manifest(
            name=model,
            version=1,
            digest=content_digest(files),
            files=files,
            model=WHOLE_FOLDER
            if asked.values.get("model") == WHOLE_FOLDER
            else _path_named(asked, "model"),
            kind="",
            labels=check_path(asked.get("labels"), field="labels")
            if asked.values.get("labels")
            else "",
            params={} if params is None else check_params(params),
            source=asked.text("source", 40, default="push"),
        )

        async def work() -> StoredVersion:
            missing = await self._repository.in_thread(missing_files, files)
            if missing:
                raise _Missing(missing)
            return await self._repository.take_kept(draft, who=self._who(exchange), tag=tag)

        self._service.background.answer_with(exchange, work(), self, _stored)

    def delete(self, exchange: Exchange, _: object, model: str, version: str = "") -> None:
        """Move a version to the trash, or all of them."""

        async def work() -> Response:
            number = None
            if version:
                number = (await self._repository.shelf(model)).find(version).version
            deleted = await self._repository.delete(model, number, who=self._who(exchange))
            return json_page({"deleted": deleted})

        self._service.background.answer_with(exchange, work(), self, _as_it_is)

    def restore(self, exchange: Exchange, _: object, model: str, version: str) -> None:
        """Take a version out of the trash again."""
        number = version_number(version)
        if number is None:
            raise InvalidRequest("expected the number of a version", field="path", status=404)
        work = self._repository.restore(model, number, who=self._who(exchange))
        self._service.background.answer_with(
            exchange, work, self, lambda manifest: json_page(manifest_document(manifest))
        )

    def tag(self, exchange: Exchange, body: bytes | memoryview, model: str, tag: str) -> None:
        """Let a tag lead to a version."""
        asked = parse_object(body, _BODY_BYTES)
        version = check_version(asked.get("version"))
        self._move(exchange, model, tag, version)

    def untag(self, exchange: Exchange, _: object, model: str, tag: str) -> None:
        """Take a tag away."""
        self._move(exchange, model, tag, None)

    def _move(self, exchange: Exchange, model: str, tag: str, version: int | None) -> None:
        work = self._repository.tag(model, tag, version, who=self._who(exchange))
        self._service.background.answer_with(
            exchange, work, self, lambda shelf: json_page({"tags": shelf.tags})
        )

    def _who(self, exchange: Exchange) -> str:
        return who_asks(self._service, exchange)


class _Missing(InvalidRequest):
    """Files of a version have to be sent first."""

    type = "missing-files"
    title = "Missing files"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"{len(missing)} files are not here yet", field="files", status=409)
        self.missing = missing


def _path_named(asked: JsonRecord, key: str) -> str:
    return check_path(asked.get(key), field=key) if asked.values.get(key) else ""


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
        "tags": stored.tags,
    }
    return json_page(document, 200 if stored.existed else 201)


def _models(shelves: Sequence[Shelf]) -> Response:
    return json_page({"models": [_row(shelf) for shelf in shelves]})


def _row(shelf: Shelf) -> dict[str, Any]:
    versions = [
        {
            "version": number,
            "digest": manifest.digest,
            "kind": manifest.kind,
            "size": manifest.size,
            "when": manifest.when,
            "who": manifest.who,
        }
        for number, manifest in sorted(shelf.versions.items())
    ]
    latest = max(shelf.versions, default=None)
    return {"name": shelf.name, "latest": latest, "versions": versions, "tags": shelf.tags}


def _model(shelf: Shelf, states: dict[str, dict[str, str]]) -> Response:
    asleep = {"state": "UNAVAILABLE", "reason": "opened when it is first asked for"}
    versions = [
        manifest_document(manifest) | states.get(str(number), asleep)
        for number, manifest in sorted(shelf.versions.items())
    ]
    damaged = [
        {"document": f"{kind}/{number}.json", "reason": reason}
        for kind, documents in sorted(shelf.damaged.items())
        for number, reason in sorted(documents.items())
    ]
    return json_page(
        {
            "name": shelf.name,
            "latest": max(shelf.versions, default=None),
            "tags": shelf.tags,
            "history": [tag_change_document(change) for _, change in sorted(shelf.changes.items())],
            "versions": versions,
            "damaged": damaged,
            "trash": [manifest_document(one) for _, one in sorted(shelf.trash.items())],
        }
    )
