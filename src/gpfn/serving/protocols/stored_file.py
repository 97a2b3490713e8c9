"""A file of a version as the answer to a request, and who a request is from."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.errors import InvalidRequest
from gpfn.http.loop.exchange import Exchange, Headers, Response
from gpfn.media import OCTETS
from gpfn.repository.documents import Manifest

if TYPE_CHECKING:
    from gpfn.http.loop.incoming import BodyReceiver
    from gpfn.serving.repository.repository import Repository
    from gpfn.serving.repository.store import VersionStore
    from gpfn.serving.service import Service

__all__ = ["file_answer", "peer_of", "upload_receiver", "who_asks"]


async def file_answer(
    repository: Repository, manifest: Manifest, path: str, *, inline: str = ""
) -> Response:
    """Return a file of a version: what the manifest names, and nothing else.

    A browser saves it: whoever uploaded it may have put a page there. ``inline`` is the media
    type of what is harmless. Raises InvalidRequest (404).
    """
    file = next((file for file in manifest.files if file.path == path), None)
    if file is None:
        told = f"{manifest.name} {manifest.version} has no file {path:.200}"
        raise InvalidRequest(told, field="path", status=404)
    data = await repository.in_thread(_read, manifest, path)
    name = path.rpartition("/")[2]
    headers = (
        ("content-type", inline or OCTETS),
        ("content-disposition", "inline" if inline else f'attachment; filename="{name}"'),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("etag", f'"{file.sha256}"'),
    )
    return Response(200, headers, (data,))


def _read(store: VersionStore, manifest: Manifest, path: str) -> bytes | memoryview:
    place = store.objects.place(manifest.digest, manifest.files)
    try:
        return _mapped(place / path)  # what is mapped stays, also when the file goes
    finally:
        store.objects.release(manifest.digest)


def _mapped(path: Path) -> bytes | memoryview:
    """Return a file's bytes, which are read when they are sent; it never changes."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def upload_receiver(service: Service, repository: Repository, headers: Headers) -> BodyReceiver:
    """Return what takes an upload; raises what forbids it."""
    service.gate.check("write", headers)
    media_type = dict(headers).get("content-type", "")
    return repository.uploads.receiver(media_type, service.gate.who(headers))


def who_asks(service: Service, exchange: Exchange) -> str:
    """Return the name of a request's token, or the address that it is from."""
    return service.gate.who(exchange.request.headers) or peer_of(exchange)


def peer_of(exchange: Exchange) -> str:
    """Return the address that a request is from."""
    peer = exchange.connection.transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else "local"
