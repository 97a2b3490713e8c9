"""A repository of a few lines in memory, and a real server whose pages show it."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gpfn.errors import InvalidRequest, TooLarge
from gpfn.http.loop.exchange import Exchange
from gpfn.repository.tags import TagChange
from gpfn.serving import Server
from gpfn.serving.pages import RepositoryPages
from gpfn.serving.pages.history import MINUTES, Minute
from gpfn.serving.pages.views import (
    ModelLine,
    ShownModel,
    ShownVersion,
    TrashedVersion,
    Uploaded,
)
from gpfn.serving.routing import Routed, Router
from gpfn.tensors.spec import TensorSpec
from tests.serving.serving import SETTINGS, Running

WHEN = "2026-11-29T03:00:00Z"
SERIES = TensorSpec("float32", (None, 20, 1), "series")
FORECAST = TensorSpec("float32", (None, 20, 1), "forecast")
IMAGE = TensorSpec("uint8", (None, 32, 32, 3), "image")
SHARES = TensorSpec("float32", (None, 3), "shares")


class Model:
    """A model with versions, tags and what was moved."""

    def __init__(
        self,
        inputs: Sequence[TensorSpec] = (SERIES,),
        outputs: Sequence[TensorSpec] = (FORECAST,),
        call: Callable[..., np.ndarray] = lambda x: x * 2,
        *,
        versions: int = 1,
        labels: Sequence[str] = (),
        **more: object,
    ) -> None:
        self.inputs, self.outputs, self.call, self.labels = inputs, outputs, call, labels
        self.versions = {n: made(n, **more) for n in range(1, versions + 1)}
        self.tags: dict[str, int] = {}
        self.history: list[TagChange] = []
        self.trash: dict[int, ShownVersion] = {}
        self.minutes = [Minute(0, 0)] * MINUTES


def made(number: int, **more: object) -> ShownVersion:
    """Return a version."""
    told = {
        "kind": "litert",
        "model": "model.tflite",
        "digest": f"{number:064x}",
        "size": 53_400,
        "when": WHEN,
        "files": ("model.tflite",),
    }
    return ShownVersion(number, **{**told, **more})


class Form:
    """Takes an upload's form into memory."""

    limit = "--max-upload"
    seconds = 60.0

    def __init__(self, most: int) -> None:
        self.most = most
        self.data = b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def abandon(self) -> None:
        self.data = b""


class Shelf:
    """What `gpfn.serving.pages.views.Shown` asks for, and what was done, in ``audit``."""

    trash_days = 30.0

    def __init__(self, models: Mapping[str, Model] | None = None, limit: int = 1 << 20) -> None:
        self.models = dict(models or {})
        self.limit_bytes = limit
        self.audit: list[tuple[str, ...]] = []
        self.hold = threading.Event()
        self.hold.set()
        self.file_path = Path()

    def listed(self) -> list[ModelLine]:
        found = []
        for name, model in sorted(self.models.items()):
            if model.versions:
                newest = model.versions[max(model.versions)]
                trend = [minute.calls + minute.failed for minute in model.minutes]
                found.append(
                    ModelLine(
                        name, newest.number, newest.kind, newest.size, [*model.tags],
                        newest.state, newest.reason, trend,
                    )
                )  # fmt: skip
        return found

    def known(self, name: str) -> Model:
        found = self.models.get(name)
        if found is None or not found.versions:
            raise InvalidRequest(f"there is no model {name!r:.99}", field="model", status=404)
        return found

    def model(self, name: str, version: str = "") -> ShownModel:
        model = self.known(name)
        number = model.tags.get(version) or (int(version) if version.isdigit() else 0)
        if version in ("", "latest"):
            number = max(model.versions)
        if number not in model.versions:
            raise InvalidRequest(f"there is no version {version:.99}", field="version", status=404)
        return ShownModel(
            name, model.versions[number], [*model.versions.values()], dict(model.tags),
            [*model.history], model.inputs, model.outputs, model.labels,
            any(len(spec.shape or ()) == 4 for spec in model.inputs), model.minutes,
        )  # fmt: skip

    def trash(self) -> list[TrashedVersion]:
        return [
            TrashedVersion(name, number, version.size, WHEN, "2026-12-29T03:00:00Z")
            for name, model in self.models.items()
            for number, version in model.trash.items()
        ]

    def tag(self, name: str, tag: str, version: int | None, who: str) -> None:
        model = self.known(name)
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", tag) or tag == "latest":
            raise InvalidRequest(f"{tag!r:.99} can be no tag", field="tag")
        if version is not None and version not in model.versions:
            raise InvalidRequest(f"there is no version {version}", field="version", status=409)
        model.tags.pop(tag, None)
        if version is not None:
            model.tags[tag] = version
        model.history.append(TagChange(tag, version, who, WHEN, {}))
        self.audit.append(("tag", name, tag, str(version), who))

    def delete(self, name: str, version: int | None, who: str) -> list[int]:
        model = self.known(name)
        gone = [*model.versions] if version is None else [version]
        for number in gone:
            if number not in model.versions:
                raise InvalidRequest(f"there is no version {number}", field="version", status=409)
            model.trash[number] = model.versions.pop(number)
        self.audit.append(("delete", name, *map(str, gone), who))
        return gone

    def restore(self, name: str, version: int, who: str) -> None:
        model = self.models[name]
        if version not in model.trash:
            raise InvalidRequest(f"{version} is not in the trash", field="version", status=409)
        model.versions[version] = model.trash.pop(version)
        self.audit.append(("restore", name, str(version), who))

    def receiver(self, headers: Sequence[tuple[str, str]]) -> Form:
        return Form(self.limit_bytes)

    async def uploaded(self, exchange: Exchange, body: bytes, who: str) -> list[Uploaded]:
        received = self.receiver(()) if exchange.incoming is None else exchange.incoming.receiver
        if exchange.incoming is None:
            received.feed(body)
        else:
            import asyncio

            done = asyncio.get_running_loop().create_future()
            exchange.incoming.when_received(done.set_result)
            if (error := await done) is not None:
                raise error
        found = []
        for name, content in re.findall(
            rb'filename="([^"]+)"\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', received.data, re.DOTALL
        ):
            if content[:4] == b"fail":
                told = "expected a model, found a text"
                raise InvalidRequest(told, field=name.decode(), status=415)
            if len(content) > self.limit_bytes:
                raise TooLarge("too large", field="file")
            stem = name.decode().partition(".")[0]
            model = self.models.setdefault(stem, Model(versions=0))
            number = max((*model.versions, *model.trash), default=0) + 1
            model.versions[number] = made(number, model=name.decode(), size=len(content), who=who)
            found.append(Uploaded(stem, number))
        self.audit.append(("upload", *[one.name for one in found], who))
        return found

    @contextmanager
    def file(self, name: str, version: int, path: str) -> Iterator[Path]:
        yield self.file_path

    def pixels(self, name: str, version: int, data: bytes) -> dict[str, np.ndarray]:
        if not data.startswith(b"\x89PNG"):
            raise InvalidRequest("expected an image, found a text", field="image", status=415)
        return {"image": np.full((1, 32, 32, 3), len(data) % 256, np.uint8)}

    def predict(self, exchange, name, version, inputs, done) -> None:
        def work() -> None:
            self.hold.wait(60)
            try:
                model = self.models[name]
                outputs = {model.outputs[0].name: np.asarray(model.call(*inputs.values()))}
            except Exception as error:
                loop.call_soon_threadsafe(done, None, error)
            else:
                loop.call_soon_threadsafe(done, outputs, None)

        import asyncio

        loop = asyncio.get_running_loop()
        threading.Thread(target=work, daemon=True).start()


def usual() -> dict[str, Model]:
    """Return the models that most tests show."""
    forecast = Model(call=lambda x: np.roll(x, -1, axis=1) * 1.01, versions=4)
    forecast.tags = {"prod": 4, "fallback": 3}
    forecast.history = [
        TagChange("prod", 3, "anna", "2026-11-03T16:40:00Z", {}),
        TagChange("fallback", 3, "anna", "2026-11-21T09:01:00Z", {}),
        TagChange("prod", 4, "", "2026-11-21T09:02:00Z", {}),
    ]
    forecast.minutes = [
        Minute(20 + 15 * (i % 7), 3 if i == 40 else 0, 0.00024, 0.0005 + 0.00001 * i)
        for i in range(MINUTES)
    ]
    photo = Model(
        (IMAGE,), (SHARES,), lambda x: np.array([[0.7, 0.2, 0.1]], np.float32),
        labels=("valley, vale", "volcano", "dam"), versions=2, kind="onnx", model="photo.onnx",
        files=("photo.onnx",), size=3_600_000,
    )  # fmt: skip
    many = Model((TensorSpec("float32", (None, 100), "x"),), (SHARES,), versions=1)
    broken = Model(state="failed", reason="not a model: cut off")
    return {"forecast": forecast, "photo": photo, "many_inputs": many, "embed_text": broken}


@contextmanager
def shown(
    shelf: Shelf,
    programs: Mapping[str, Routed] | None = None,
    root: str = "",
    **changes: object,
) -> Iterator[Running]:
    """A server whose pages show a shelf."""
    from dataclasses import replace

    server = Server({}, replace(SETTINGS, threads=4, queue=64, **changes))
    service = server.service
    pages = RepositoryPages(service, shelf, programs=programs, root=root)
    service._router = Router([pages, *service._router._protocols], root)
    server.begin()
    run = Running(server, server.address[1])
    try:
        yield run
    finally:
        run.stop()
