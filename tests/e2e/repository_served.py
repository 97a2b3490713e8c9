"""`gpfn serve` with a repository, and uploads to it: good ones, and what somebody might send."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.models_served import ModelServer, Reply, served
from tests.serving.repository.onnx_files import scaled

__all__ = ["FORM", "RepositoryServer", "form", "repository_served", "until"]

_BOUNDARY = b"boundary-of-the-form"
FORM = f"multipart/form-data; boundary={_BOUNDARY.decode()}"
Part = tuple[str, "str | None", bytes]


def form(*parts: Part) -> bytes:
    """Return a form's body: name, file name (None for a field) and content of each part."""
    lines: list[bytes] = []
    for name, filename, content in parts:
        told = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
        lines += [b"--" + _BOUNDARY, f"Content-Disposition: {told}".encode(), b"", content]
    return b"\r\n".join([*lines, b"--" + _BOUNDARY + b"--", b""])


def until(done: Any, seconds: float = 5) -> None:
    """Wait until a function is true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


class RepositoryServer:
    """A server with a repository in a folder."""

    def __init__(self, server: ModelServer, place: Path) -> None:
        self.server = server
        self.place = place

    def upload(
        self, name: str, model: bytes, filename: str = "m.onnx", more: Sequence[Part] = ()
    ) -> Reply:
        """Upload a model as a form."""
        return self.send_form(("name", None, name.encode()), ("model", filename, model), *more)

    def send_form(self, *parts: Part) -> Reply:
        """Send a form."""
        return self.server.ask("/upload", form(*parts), content_type=FORM)

    def bundle(self, data: bytes) -> Reply:
        """Send an archive."""
        return self.server.ask("/upload", data, content_type="application/octet-stream")

    def ask(self, path: str, body: object = None, method: str = "") -> Any:
        """Return a document; the server has to have it."""
        reply = self.server.ask(path, body, method)
        assert reply.status in (200, 201), reply
        return json.loads(reply.body or b"null")

    def factor(self, name: str) -> float:
        """Return what a model that was made by ``scaled`` multiplies by."""
        one, two = self.ask("/json", {"values": [1, 2, 0], "model": name})[:2]
        assert two == 2 * one
        return float(one)

    def is_well(self) -> None:
        """Check that uploads are taken, answers are right and nothing is left of what failed."""
        until(lambda: not self.left())
        number = time.monotonic_ns() % 1000 + 2
        reply = self.upload("well", scaled(number))
        assert reply.status == 200, reply
        assert self.factor("well") == number
        assert self.server.process.poll() is None

    def left(self) -> list[Path]:
        """Return what uploads have left behind."""
        return [*(self.place / ".incoming").iterdir()]

    def versions(self) -> Mapping[str, list[int]]:
        """Return the versions of all models."""
        models = self.ask("/repository/models")["models"]
        return {one["name"]: [each["version"] for each in one["versions"]] for one in models}


@contextmanager
def repository_served(
    tmp: Path, *words: str, place: Path | None = None, fails: bool = False
) -> Iterator[RepositoryServer]:
    """Run a server with a repository until it is ready; ``fails`` when not all is to go well."""
    place = place or tmp / "store"
    with served(tmp / "log", "--repository", str(place), *words) as server:
        yield RepositoryServer(server, place)
    assert fails or "Traceback" not in (tmp / "log").read_text()
