"""A repository of the HTTP API alone, in memory: what it was asked can be looked at."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from gpfn.repository.documents import (
    Manifest,
    check_files,
    content_digest,
    manifest_document,
)
from gpfn.repository.record import JsonRecord

__all__ = ["Shelves", "shelves_served"]

WHEN = "2026-11-29T03:00:00Z"


class Shelves:
    """What is kept, what was asked, and how it fails next."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.versions: dict[str, dict[int, dict[str, Any]]] = {}
        self.trash: dict[str, dict[int, dict[str, Any]]] = {}
        self.tags: dict[str, dict[str, int]] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.failures: list[tuple[int, bytes]] = []
        self.cut = 0
        self.token = ""
        self.url = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and document, or the bytes of a file."""
        if found := re.fullmatch(r"/repository/files/([0-9a-f]{64})", path):
            if hashlib.sha256(body).hexdigest() != found[1]:
                return 422, {"detail": "another digest", "field": "body"}
            self.files[found[1]] = body
            return 204, None
        if path == "/repository/models":
            return 200, {"models": [self.row(name) for name in sorted(self.versions)]}
        found = re.fullmatch(r"/repository/models/([^/]+)(?:/(versions|tags)(?:/(.+))?)?", path)
        if not found:
            return 404, {"detail": f"no such path: {path}"}
        name, kind, rest = found.groups()
        if method == "POST" and kind == "versions" and not rest:
            return self.push(name, json.loads(body))
        if name not in self.versions:
            return 404, {"detail": f"no model {name}", "field": "path"}
        if kind == "tags":
            return self.move(name, rest, json.loads(body)["version"] if body else None)
        if kind == "versions":
            return self.version(method, name, *rest.partition("/")[::2])
        if method == "DELETE":
            return 200, {"deleted": [self.delete(name, at) for at in sorted(self.versions[name])]}
        return 200, self.page(name)

    def version(self, method: str, name: str, reference: str, rest: str) -> tuple[int, Any]:
        if rest == "restore":
            self.versions[name][int(reference)] = self.trash[name].pop(int(reference))
            return 200, self.versions[name][int(reference)]
        number = self.tags[name].get(reference) or self.latest(name)
        number = int(reference) if reference.isdigit() else number
        if method == "DELETE":
            return 200, {"deleted": [self.delete(name, number)]}
        path = rest.removeprefix("files/")
        (sha256,) = [
            file["sha256"] for file in self.versions[name][number]["files"] if file["path"] == path
        ]
        return 200, self.files[sha256]

    def push(self, name: str, asked: dict[str, Any]) -> tuple[int, Any]:
        files = check_files(JsonRecord(asked))
        missing = sorted({file.sha256 for file in files} - self.files.keys())
        if missing:
            return 409, {"detail": "send them first", "missing": missing}
        versions = self.versions.setdefault(name, {})
        self.trash.setdefault(name, {})
        tags = self.tags.setdefault(name, {})
        self.history.setdefault(name, [])
        number = max([*versions, *self.trash[name], 0]) + 1
        digest = content_digest(files)
        existed = bool(versions) and versions[max(versions)]["digest"] == digest
        if existed:
            number = max(versions)
        else:
            made = Manifest(
                name, number, digest, files, asked.get("model") or files[0].path, "litert",
                labels=asked.get("labels", ""), params=asked.get("params") or {}, when=WHEN,
            )  # fmt: skip
            versions[number] = manifest_document(made)
        if asked.get("tag"):
            self.move(name, asked["tag"], number)
        answer = {"name": name, "version": number, "digest": digest, "existed": existed}
        return 200 if existed else 201, {**answer, "notes": ["a note"], "tags": tags}

    def move(self, name: str, tag: str, version: int | None) -> tuple[int, Any]:
        tags = self.tags[name]
        tags.pop(tag, None)
        if version is not None:
            tags[tag] = version
        change = {"tag": tag, "version": version, "who": "", "when": WHEN, "tags": {**tags}}
        self.history[name].append(change)
        return 200, {"tags": tags}

    def delete(self, name: str, number: int) -> int:
        document = self.versions[name].pop(number)
        self.trash[name][number] = {**document, "deleted": WHEN}
        return number

    def latest(self, name: str) -> int | None:
        return max(self.versions[name], default=None)

    def row(self, name: str) -> dict[str, Any]:
        keys = ("version", "digest", "kind", "when", "who")
        versions = [
            {**{key: each[key] for key in keys}, "size": sum(f["size"] for f in each["files"])}
            for each in self.versions[name].values()
        ]
        tags = self.tags[name]
        return {"name": name, "latest": self.latest(name), "versions": versions, "tags": tags}

    def page(self, name: str) -> dict[str, Any]:
        states = {"state": "READY", "reason": ""}
        return {
            **self.row(name),
            "history": self.history[name],
            "versions": [{**each, **states} for _, each in sorted(self.versions[name].items())],
            "trash": list(self.trash[name].values()),
        }


@contextmanager
def shelves_served() -> Iterator[Shelves]:
    """Serve them on a free port of this machine."""
    shelves = Shelves()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            shelves.asked.append(f"{self.command} {self.path}")
            if shelves.token and self.headers.get("authorization") != f"Bearer {shelves.token}":
                self.reply(401, {"detail": "no token"})
            elif shelves.failures:
                status, text = shelves.failures.pop(0)
                self.reply(status, text)
            else:
                self.reply(*shelves.answer(self.command, self.path, body))

        do_PUT = do_POST = do_DELETE = do_GET

        def reply(self, status: int, document: Any) -> None:
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            data = b"" if document is None else data
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            if status != 204:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            if shelves.cut and isinstance(document, bytes):
                data, shelves.cut, self.close_connection = data[: shelves.cut], 0, True
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    shelves.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield shelves
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
