"""What the pages show of a server's repository, and what they ask of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gpfn.errors import InvalidRequest
from gpfn.models.labels import read_labels
from gpfn.repository.documents import Manifest
from gpfn.serving.engine.inference import Inference
from gpfn.serving.library import Asleep
from gpfn.serving.pages.history import History
from gpfn.serving.pages.views import (
    ModelLine,
    Predicted,
    ShownModel,
    ShownVersion,
    TrashedVersion,
    Uploaded,
)
from gpfn.serving.protocols.tfaas_inputs import picture_input, picture_tensor
from gpfn.serving.repository.intake import Arrived, unpack_form, unpack_raw
from gpfn.serving.repository.receiving import RawReceiver, ReceivedFile, ReceivedUpload
from gpfn.tfaas.parameters import parameters_of

if TYPE_CHECKING:
    import numpy as np

    from gpfn.http.loop.exchange import Exchange
    from gpfn.serving.repository.repository import Repository
    from gpfn.serving.repository.shelf import Shelf
    from gpfn.serving.service import Service

__all__ = ["ShownRepository"]

_T = TypeVar("_T")
_STATES = {"READY": "ready", "LOADING": "loading", "UNAVAILABLE": "failed"}
_ARCHIVES = (b"\x1f\x8b", b"PK\x03\x04")
_TAR = b"ustar"


class ShownRepository:
    """The seam `gpfn.serving.pages.views.Shown`, on a repository."""

    def __init__(self, service: Service, repository: Repository) -> None:
        self._service = service
        self._repository = repository
        self.trash_days = repository.settings.trash_days
        self.limit_bytes = repository.settings.max_upload
        library = service.library
        self._history = History(
            lambda: [(one.name, one.version, one.statistics) for one in library.all_open()]
        )

    async def keep(self) -> None:
        """Take note of what is asked, as long as the server runs; on the loop."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._history.tick(time.monotonic())
            await asyncio.sleep(1)

    # questions; in a thread

    def listed(self) -> Sequence[ModelLine]:
        """Return all models, sorted by name."""
        states, trends = self._states(), self._history.trends()
        return [
            self._line(shelf, latest, states, trends.get(shelf.name, ()))
            for shelf in self._ask(self._repository.shelves())
            if (latest := shelf.latest) is not None
        ]

    def _line(
        self,
        shelf: Shelf,
        latest: Manifest,
        states: Mapping[tuple[str, int], tuple[str, str]],
        trend: Sequence[float],
    ) -> ModelLine:
        state, reason = states.get((shelf.name, latest.version), ("closed", ""))
        tags = sorted(shelf.tags)
        return ModelLine(
            shelf.name, latest.version, latest.kind, latest.size, tags, state, reason, trend
        )

    def model(self, name: str, version: str = "") -> ShownModel:
        """Return one, with a version chosen; the highest for nothing."""
        shelf = self._ask(self._repository.shelf(name))
        chosen = shelf.find(version)
        states = self._states()
        versions = {
            number: self._version(manifest, states) for number, manifest in shelf.versions.items()
        }
        return ShownModel(
            name,
            versions[chosen.version],
            [versions[number] for number in sorted(versions)],
            shelf.tags,
            [change for _, change in sorted(shelf.changes.items())],
            chosen.inputs,
            chosen.outputs,
            self._labels(chosen),
            _takes_pictures(chosen),
            self._history.minutes(name),
        )

    def _version(
        self, manifest: Manifest, states: Mapping[tuple[str, int], tuple[str, str]]
    ) -> ShownVersion:
        open_ones = self._service.library.open.get(manifest.name, {})
        served = open_ones.get(str(manifest.version))
        state, reason = states.get((manifest.name, manifest.version), ("closed", ""))
        counters = None if served is None else served.statistics
        return ShownVersion.of(manifest, counters, state=state, reason=reason)

    def _states(self) -> dict[tuple[str, int], tuple[str, str]]:
        """Return the state of every version that is open, or is to be."""
        sources = self._service.library.sources
        return {
            (entry.name, int(entry.version)): (_STATES[entry.state], entry.reason)
            for entry in self._service.library.index()
            if entry.version.isdecimal() and entry.version in sources.get(entry.name, {})
        }

    def _labels(self, manifest: Manifest) -> Sequence[str]:
        if not manifest.labels:
            return ()
        with self.file(manifest.name, manifest.version, manifest.labels) as path:
            return read_labels(path)

    def trash(self) -> Sequence[TrashedVersion]:
        """Return what was deleted, the latest first."""
        found = [
            TrashedVersion.of(manifest, self.trash_days)
            for shelf in self._repository.store.all_shelves()
            for manifest in shelf.trash.values()
        ]
        return sorted(found, key=lambda one: one.deleted, reverse=True)

    @contextmanager
    def file(self, name: str, version: int, path: str) -> Iterator[Path]:
        """Give where a file of a manifest lies on this machine, as long as the block runs."""
        manifest = self._repository.store.shelf(name).find(str(version))
        if all(file.path != path for file in manifest.files):
            raise InvalidRequest(f"there is no file {path:.200}", field="path", status=404)
        objects = self._repository.store.objects
        place = objects.place(manifest.digest, manifest.files)
        try:
            yield place / path
        finally:
            objects.release(manifest.digest)

    def pixels(self, name: str, version: int, data: bytes) -> Mapping[str, np.ndarray]:
        """Return a model's inputs for an image file."""
        manifest = self._repository.store.shelf(name).find(str(version))
        params = parameters_of(dict(manifest.params))
        wanted = picture_input(manifest.inputs, params.image, params.channels)
        return {wanted.name: picture_tensor(data, wanted, self._service.settings.limits.pixels)}

    # changes; in a thread

    def tag(self, name: str, tag: str, version: int | None, who: str) -> None:
        """Move a tag, make one, or take it away where there is no version."""
        self._ask(self._repository.tag(name, tag, version, who=who))

    def delete(self, name: str, version: int | None, who: str) -> Sequence[int]:
        """Move a version, or all of them, to the trash; return which."""
        return self._ask(self._repository.delete(name, version, who=who))

    def restore(self, name: str, version: int, who: str) -> None:
        """Bring a version back from the trash."""
        self._ask(self._repository.restore(name, version, who=who))

    # uploads; on the loop

    def receiver(self, headers: Sequence[tuple[str, str]]) -> RawReceiver:
        """Return what takes an upload's form."""
        media_type = dict(headers).get("content-type", "")
        return self._repository.uploads.receiver(media_type, self._service.gate.who(headers))

    async def uploaded(self, exchange: Exchange, body: bytes, who: str) -> Sequence[Uploaded]:
        """Make a version of all that has come, or one of each file where there is no name."""
        received = await self._repository.uploads.receive(exchange, body)
        name, tag = (received.fields.get(key, "").strip() for key in ("name", "tag"))
        try:
            parts = [received] if name else await self._repository.in_thread(_apart, received)
            return [await self._take(part, who, tag) for part in parts]
        finally:
            await self._repository.in_thread(_remove, received)

    async def _take(self, received: ReceivedUpload, who: str, tag: str) -> Uploaded:
        stored = await self._repository.take_in(received, self._unpack, who=who, tag=tag)
        manifest = stored.manifest
        return Uploaded(manifest.name, manifest.version, stored.existed, manifest.notes)

    def _unpack(self, received: ReceivedUpload) -> Arrived:
        settings = self._repository.settings
        name = received.fields.get("name", "")
        if len(received.files) == 1 and _is_archive(received.files[0]):
            most, seconds = settings.max_upload, settings.upload_seconds
            return unpack_raw(received, name=name, most=most, seconds=seconds)
        return unpack_form(received, name=name, base64=False)

    # a trial; on the loop

    def predict(
        self,
        exchange: Exchange,
        name: str,
        version: int,
        inputs: Mapping[str, np.ndarray],
        done: Predicted,
    ) -> None:
        """Compute, and call ``done`` with the outputs or an error."""

        async def wake_and_ask() -> None:
            try:
                await self._repository.wake(name, str(version))
                self._submit(exchange, name, version, inputs, done)
            except Exception as error:  # noqa: BLE001 - told to who has sent the form
                done(None, error)

        try:
            self._submit(exchange, name, version, inputs, done)
        except Asleep:
            self._service.background.spawn(wake_and_ask())

    def _submit(
        self,
        exchange: Exchange,
        name: str,
        version: int,
        inputs: Mapping[str, np.ndarray],
        done: Predicted,
    ) -> None:
        served = self._service.library.find(name, str(version))
        deadline = self._service.deadline(exchange, served)
        served.engine.submit(Inference(inputs, (), deadline, done, exchange))

    def _ask(self, work: Coroutine[object, object, _T]) -> _T:
        """Return what comes of work on the loop, from a thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _takes_pictures(manifest: Manifest) -> bool:
    shapes = [spec.shape for spec in manifest.inputs]
    return len(shapes) == 1 and shapes[0] is not None and len(shapes[0]) == 4


def _is_archive(file: ReceivedFile) -> bool:
    with file.path.open("rb") as opened:
        head = opened.read(512)
    return head.startswith(_ARCHIVES) or head[257:262] == _TAR


def _apart(_: object, received: ReceivedUpload) -> list[ReceivedUpload]:
    """Return each file of an upload as one of its own, called as the file is."""
    parts = []
    for number, file in enumerate(received.files):
        folder = received.folder / f"upload-{number}"
        folder.mkdir()
        moved = file._replace(path=file.path.rename(folder / "part"))
        stem = Path(file.filename.replace("\\", "/")).name.partition(".")[0]
        fields = {} if _is_archive(moved) else {"name": stem}
        parts.append(ReceivedUpload(folder, fields, (moved,)))
    return parts


def _remove(_: object, received: ReceivedUpload) -> None:
    received.remove()
