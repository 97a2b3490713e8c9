"""The manifests of a repository: which files a version is, and what is known of it.

    models/NAME/versions/N.json    the manifest of version N, written once
    models/NAME/trash/N.json       the same after it was deleted, with the time
    files/DIGEST/PATH              a version's files

DIGEST is one hash over all files with their names (:func:`content_digest`), so the same files
have the same digest whoever sends them, whenever and in whatever order. Reading checks
everything: what is read may come from a disk or a bucket that others write to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from gpfn import json_exact
from gpfn.errors import InvalidRequest, TooLarge
from gpfn.repository.names import (
    MOST_VERSIONS,
    check_digest,
    check_model_name,
    check_path,
    check_version,
)
from gpfn.repository.record import JsonRecord, parse_object
from gpfn.tensors.spec import DTYPES, TensorSpec

__all__ = [
    "FORMAT",
    "MANIFEST_BYTES",
    "MOST_FILES",
    "WHOLE_FOLDER",
    "Manifest",
    "StoredFile",
    "check_files",
    "check_params",
    "content_digest",
    "encode_manifest",
    "manifest_document",
    "manifest_of",
    "read_manifest",
]

FORMAT = 1
"""The format of these documents; a higher one is another gpfn's."""

MOST_FILES = 10_000
"""Most files of one version."""

MANIFEST_BYTES = 16 << 20
"""Most bytes of one document."""

WHOLE_FOLDER = "."
"""The ``model`` of a version whose folder is the model, such as a SavedModel."""

_MOST_BYTES = 1 << 50  # of one file
_MOST_TENSORS, _MOST_NOTES = 1000, 100
_NOTE = 2000
_PARAMS_BYTES, _PARAMS_DEPTH = 1 << 20, 32


class StoredFile(NamedTuple):
    """A file of a version: where it lies in the version's folder, its bytes and their hash."""

    path: str
    size: int
    sha256: str


class Manifest(NamedTuple):
    """What is known of a version.

    ``model`` is the file that is opened, or ``"."`` for the folder itself; ``labels`` the
    file with a class name a line, or nothing. ``params`` are as they were uploaded. ``notes``
    say what was not as it should be and passed over. ``deleted`` is when it went to the
    trash, empty while it is live.
    """

    name: str
    version: int
    digest: str
    files: tuple[StoredFile, ...]
    model: str
    kind: str
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    labels: str = ""
    params: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()
    who: str = ""
    when: str = ""
    source: str = ""
    deleted: str = ""

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


def content_digest(files: Iterable[StoredFile]) -> str:
    """Return the hash over files with their names, in hex; their order does not matter.

    It is the SHA-256 over a line for each file, sorted by path: the path, a zero byte, the
    file's own SHA-256 in hex, a line feed. `gpfn.models.parts` hashes folders so too.
    """
    lines = sorted(f"{file.path}\0{file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_files(record: JsonRecord, *, most: int = MOST_FILES) -> tuple[StoredFile, ...]:
    """Return the ``files`` of an object, sorted by path: one at least, none twice.

    Raises InvalidRequest, TooLarge for more than ``most``.
    """
    files = sorted(
        StoredFile(
            check_path(each.get("path"), field=each.at("path")),
            each.whole("size", _MOST_BYTES),
            check_digest(each.get("sha256"), field=each.at("sha256")),
        )
        for each in record.records("files", most)
    )
    if not files:
        raise InvalidRequest("a version has one file at least", field=record.at("files"))
    paths = {file.path for file in files}
    if len(paths) < len(files):
        raise InvalidRequest("two files have one path", field=record.at("files"))
    for path in paths:
        parts = path.split("/")
        above = {"/".join(parts[:end]) for end in range(1, len(parts))} & paths
        if above:
            told = f"{above.pop()} is a file, and a folder of {path}"
            raise InvalidRequest(told, field=record.at("files"))
    return tuple(files)


def check_params(value: object, *, field: str = "params") -> dict[str, Any]:
    """Return parameters that are to be kept as they are, their size and depth in bounds."""
    if type(value) is not dict:
        raise InvalidRequest("expected an object", field=field)
    if _deeper(value, _PARAMS_DEPTH):
        raise InvalidRequest(f"more than {_PARAMS_DEPTH} levels", field=field)
    if len(json_exact.dumps(value)) > _PARAMS_BYTES:
        raise TooLarge(f"more than {_PARAMS_BYTES} bytes", field=field)
    return value


def _deeper(value: object, most: int) -> bool:
    """Say whether lists and objects stand in each other more than ``most`` times."""
    level: list[object] = [value]
    while most and level:
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level, most = inner, most - 1
    return any(isinstance(item, dict | list) for item in level)


def manifest_document(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as JSON's values."""
    document: dict[str, Any] = {"format": FORMAT, **manifest._asdict()}
    document["files"] = [file._asdict() for file in manifest.files]
    document["params"] = dict(manifest.params)
    for side in ("inputs", "outputs"):
        document[side] = [_spec_document(spec) for spec in document[side]]
    if not manifest.deleted:
        del document["deleted"]
    return document


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the text of a manifest's file."""
    return json_exact.dumps(manifest_document(manifest), option=_LAYOUT)


_LAYOUT = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def read_manifest(data: bytes | memoryview, *, field: str = "") -> Manifest:
    """Return the manifest that a file holds.

    Raises InvalidRequest, TooLarge; ``field`` is what the paths in errors begin with.
    """
    return manifest_of(parse_object(data, MANIFEST_BYTES, field=field))


def manifest_of(record: JsonRecord) -> Manifest:
    """Return the manifest that an object is. Raises InvalidRequest, TooLarge."""
    _check_format(record)
    files = check_files(record)
    paths = {file.path for file in files}
    digest = check_digest(record.get("digest"), field=record.at("digest"))
    if digest != content_digest(files):
        raise InvalidRequest("not the digest of these files", field=record.at("digest"))
    model, labels = record.text("model", 1000), record.text("labels", 1000, default="")
    if model != WHOLE_FOLDER and model not in paths:
        raise InvalidRequest("not among the files", field=record.at("model"))
    if labels and labels not in paths:
        raise InvalidRequest("not among the files", field=record.at("labels"))
    return Manifest(
        name=check_model_name(record.get("name"), field=record.at("name")),
        version=check_version(record.get("version"), field=record.at("version")),
        digest=digest,
        files=files,
        model=model,
        kind=record.text("kind", 40),
        inputs=_specs(record, "inputs"),
        outputs=_specs(record, "outputs"),
        labels=labels,
        params=check_params(record.values.get("params", {}), field=record.at("params")),
        notes=_notes(record),
        who=record.text("who", default=""),
        when=record.moment("when"),
        source=record.text("source", 40, default=""),
        deleted=record.moment("deleted") if "deleted" in record.values else "",
    )


def _check_format(record: JsonRecord) -> None:
    number = record.whole("format", MOST_VERSIONS)
    if number != FORMAT:
        told = f"format {number} is not known here, only {FORMAT}: a newer gpfn wrote it"
        raise InvalidRequest(told, field=record.at("format"))


def _spec_document(spec: TensorSpec) -> dict[str, Any]:
    sizes = None if spec.shape is None else [-1 if s is None else s for s in spec.shape]
    return {"name": spec.name, "dtype": spec.dtype, "shape": sizes}


def _specs(record: JsonRecord, key: str) -> tuple[TensorSpec, ...]:
    return tuple(_spec(each) for each in record.records(key, _MOST_TENSORS))


def _spec(record: JsonRecord) -> TensorSpec:
    dtype = record.text("dtype", 40)
    if dtype not in DTYPES:
        raise record.wrong("dtype", f"one of {', '.join(sorted(DTYPES))}")
    name = record.text("name", 1000, default="")
    if record.get("shape") is None:
        return TensorSpec(dtype, None, name)
    sizes = record.items("shape", 64)
    if not all(type(size) is int and -1 <= size < 1 << 63 for size in sizes):
        raise record.wrong("shape", "sizes, and -1 for any size")
    return TensorSpec(dtype, tuple(None if size == -1 else size for size in sizes), name)


def _notes(record: JsonRecord) -> tuple[str, ...]:
    notes = record.items("notes", _MOST_NOTES)
    if not all(isinstance(note, str) and len(note) <= _NOTE for note in notes):
        raise record.wrong("notes", f"texts of at most {_NOTE} characters")
    return tuple(notes)
