"""A model's documents, read once each: they never change.

A document that is damaged is told, and keeps no other one from being read. What a list does not
have may have been made a moment ago, by another server: so it is asked for before it counts as
gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from gpfn.errors import GpfnError, InvalidRequest
from gpfn.repository.documents import Manifest, read_manifest
from gpfn.repository.names import is_model_name
from gpfn.repository.tags import read_tag_change
from gpfn.serving.repository.objects import Objects, StoreDamaged
from gpfn.serving.repository.shelf import Shelf

__all__ = ["ShelfReader", "document_key", "document_place"]

_T = TypeVar("_T")
_KINDS = ("versions", "trash", "tags")


class ShelfReader:
    """Reads the documents of models."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def read_shelf(self, shelf: Shelf, found: Mapping[str, set[int]]) -> Shelf:
        """Return a model as its documents have it: new ones are read, others are kept.

        ``found`` are the numbers that were listed, by kind.
        """
        damaged: dict[str, dict[int, str]] = {kind: {} for kind in _KINDS}
        versions = self._manifests(shelf, "versions", shelf.versions, found, damaged)
        trash = self._manifests(shelf, "trash", shelf.trash, found, damaged)
        for number in versions.keys() & trash.keys():
            del trash[number]  # deleting or restoring it has not ended
        changes = dict(shelf.changes)
        for number in sorted(found.get("tags", set()) - changes.keys()):
            key = document_key(shelf.name, "tags", number)
            change = self._read_or_note(key, read_tag_change, number, damaged["tags"])
            if change is not None:
                changes[number] = change
        return Shelf(shelf.name, versions, trash, changes, damaged)

    def _manifests(
        self,
        shelf: Shelf,
        kind: str,
        known: Mapping[int, Manifest],
        found: Mapping[str, set[int]],
        damaged: dict[str, dict[int, str]],
    ) -> dict[int, Manifest]:
        """Return the manifests that are there."""
        manifests = dict(known)
        for number in sorted(found.get(kind, set()) ^ known.keys()):
            # not listed may mean not listed yet: so what seems to be gone is looked at
            key = document_key(shelf.name, kind, number)

            def read(data: bytes, number: int = number) -> Manifest:
                return _checked(read_manifest(data), shelf.name, kind, number)

            manifest = self._read_or_note(key, read, number, damaged[kind])
            if manifest is None:
                manifests.pop(number, None)
            else:
                manifests[number] = manifest
        return manifests

    def _read_or_note(
        self, key: str, read: Callable[[bytes], _T], number: int, damaged: dict[int, str]
    ) -> _T | None:
        """Return a document; one that is damaged is noted, and keeps no other one from it."""
        try:
            return self.read(key, read)
        except StoreDamaged as error:
            damaged[number] = str(error)
            return None

    def read(self, key: str, read: Callable[[bytes], _T]) -> _T | None:
        """Return a document as ``read`` does, None when there is none. Raises StoreDamaged."""
        data = self._objects.read(key)
        if data is None:
            return None
        try:
            return read(data)
        except GpfnError as error:
            raise StoreDamaged(error.detail, field=f"{key}: {error.field or ''}") from error


def _checked(manifest: Manifest, name: str, kind: str, number: int) -> Manifest:
    """Return a manifest that lies where it belongs. Raises InvalidRequest."""
    if (manifest.name, manifest.version) != (name, number):
        told = f"it is of {manifest.name} {manifest.version}"
        raise InvalidRequest(told, field="name")
    if kind == "trash" and not manifest.deleted:
        raise InvalidRequest("it says not when it was deleted", field="deleted")
    return manifest


def document_key(name: str, kind: str, number: int) -> str:
    """Return the key of a model's document."""
    return f"models/{name}/{kind}/{number}.json"


def document_place(key: str) -> tuple[str, str, int] | None:
    """Return model, kind and number of a document's key, None for any other file."""
    parts = key.split("/")
    if len(parts) != 4 or not parts[3].endswith(".json") or not is_model_name(parts[1]):
        return None
    number = parts[3].removesuffix(".json")
    known = parts[2] in _KINDS and number.isascii() and number.isdigit() and number[0] != "0"
    return (parts[1], parts[2], int(number)) if known and len(number) < 10 else None
