"""From what has come in an upload to a version that can be kept: its files, and what they are.

A model is a program. So it must be of a kind that only computes, and a process of its own, with
bounds on memory and time, looks at its operators, which must all be known ones, and opens and
calls it, before anybody sees it.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gpfn.deadline import Deadline
from gpfn.errors import (
    InvalidRequest,
    ModelRefused,
    ModelUnreadable,
    SetupError,
    TooLarge,
    UnsupportedMedia,
)
from gpfn.models.foreign_files import refuse_kind
from gpfn.models.labels import read_labels
from gpfn.repository.documents import WHOLE_FOLDER, Manifest, StoredFile, content_digest
from gpfn.repository.names import check_model_name, check_path
from gpfn.serving.repository.receiving import ReceivedFile, ReceivedUpload
from gpfn.serving.repository.settings import VetBounds
from gpfn.tfaas.parameters import PARAMETERS_BYTES, TfaasParameters, read_parameters

__all__ = [
    "PARAMS",
    "Arrived",
    "examine_upload",
    "stored_file",
    "unpack_form",
    "unpack_raw",
]

PARAMS = "params.json"
"""What parameters are called in a version, whatever their sender calls them."""

_LABELS = "labels.txt"
_SAVED_MODEL = "saved_model.pb"
_FROZEN = "tensorflow-frozen"
_OPERATORS = {_FROZEN: "graph", "tensorflow-savedmodel": "tensorflow"}
"""What the check of operators calls a kind, where it has another word."""
_BLOCK = 4 << 20
_LABELS_BYTES = 1 << 20


class Arrived(NamedTuple):
    """The files of an upload, in a folder of their own, before anybody has looked into them.

    ``model`` and ``labels`` are the files that the sender called so, empty where nobody did.
    """

    name: str
    folder: Path
    files: tuple[StoredFile, ...]
    model: str = ""
    labels: str = ""
    source: str = ""


def unpack_form(received: ReceivedUpload, *, name: str, base64: bool) -> Arrived:
    """Return the files of a form, each under its own name.

    ``name`` is for a form that has none; with ``base64`` the request says that its files are
    in base64. Raises InvalidRequest for what is missing, or named as nothing may be.
    """
    name = received.fields.get("name") or name
    if not name:
        raise InvalidRequest("request does not provide name", field="name")
    check_model_name(name)
    folder = received.folder / "files"
    folder.mkdir()
    placed: dict[str, StoredFile] = {}
    called = {"model": "", "labels": ""}
    for file in received.files:
        if file.field not in ("model", "labels", "params", "file"):
            continue  # such as TFaaS' own "op", which nothing was ever done with
        path = PARAMS if file.field == "params" else _base_name(file)
        if path in placed:
            raise InvalidRequest(f"two files are called {path}", field=file.field)
        placed[path] = _placed(file, folder / path, path, base64=base64)
        if file.field in called and not called[file.field]:
            called[file.field] = path
    if not called["model"] and not any(file.field == "file" for file in received.files):
        raise InvalidRequest("request does not provide model", field="model")
    for field, path in (("params", PARAMS), ("labels", _LABELS)):  # a form's fields are texts
        if received.fields.get(field) and path not in placed:
            (folder / path).write_text(received.fields[field], "utf-8")
            placed[path] = stored_file(folder / path, path)
    files = tuple(sorted(placed.values()))
    return Arrived(name, folder, files, called["model"], called["labels"], "form")


def unpack_raw(received: ReceivedUpload, *, name: str, most: int, seconds: float) -> Arrived:
    """Return the files of a bundle: the folder in it has the model's name, unless ``name`` says.

    It may unpack to ``most`` bytes and take so many seconds.

    Raises InvalidRequest, TooLarge, UnsupportedMedia for what is no archive.
    """
    from gpfn.serving.repository.archive import unpack_bundle
    from gpfn.serving.repository.archive_bounds import ArchiveBounds

    (file,) = received.files
    folder = received.folder / "files"
    folder.mkdir()
    bounds = ArchiveBounds(bytes=most)
    deadline = Deadline.after(seconds)
    unpacked = unpack_bundle(file.path, folder, bounds=bounds, deadline=deadline)
    file.path.unlink()
    name = name or unpacked.top
    if not name:
        told = "one folder, which has the model's name; or say ?name="
        raise InvalidRequest(f"expected a bundle of {told}", field="name")
    check_model_name(name)
    files = tuple(stored_file(unpacked.root / each.path, each.path) for each in unpacked.files)
    return Arrived(name, unpacked.root, files, source="bundle")


def examine_upload(arrived: Arrived, bounds: VetBounds) -> Manifest:
    """Return what the files of an upload are, once their model has passed all gates.

    Raises UnsupportedMedia (415) for a kind that is not taken, ModelRefused (422) for a model
    that does not pass, InvalidRequest for parameters or labels that are wrong.
    """
    paths = {file.path: arrived.folder / file.path for file in arrived.files}
    params = _parameters(paths.get(PARAMS))
    if params.name and params.name != arrived.name:
        told = f"{params.name:.99} in it, and {arrived.name} in the request"
        raise InvalidRequest(f"mismatch of names: {told}", field="params.name")
    model = _model_of(paths, arrived.model or params.model)
    place = arrived.folder if model == WHOLE_FOLDER else paths[model]
    kind = _kind_of(place, model)
    labels = arrived.labels or _labels_of(paths, params.labels)
    try:
        if labels:
            _check_labels(paths[labels])
        inputs, outputs, notes = _vetted(place, kind, params, bounds)
    except (ModelUnreadable, SetupError) as error:
        where = str(arrived.folder)
        told = error.detail.replace(f"{where}/", "").replace(where, arrived.name)
        raise ModelRefused(told, field=error.field or "model") from error
    return Manifest(
        name=arrived.name,
        version=1,
        digest=content_digest(arrived.files),
        files=tuple(sorted(arrived.files)),
        model=model,
        kind=kind,
        inputs=inputs,
        outputs=outputs,
        labels=labels,
        params=params.uploaded,
        notes=notes,
        source=arrived.source,
    )


# what is in it


def _parameters(path: Path | None) -> TfaasParameters:
    if path is None:
        return TfaasParameters()
    with path.open("rb") as file:
        return read_parameters(file.read(PARAMETERS_BYTES + 1))


def _model_of(paths: Mapping[str, Path], named: str) -> str:
    """Return which file is the model, or that the folder is."""
    if named in paths and named != _SAVED_MODEL:
        return named
    if _SAVED_MODEL in paths:
        return WHOLE_FOLDER
    found = sorted(path for path in paths if "/" not in path and _may_be_model(paths[path]))
    if len(found) == 1:
        return found[0]
    if not found:
        told = f"no model among {len(paths)} files: {', '.join(sorted(paths))[:200]}"
        raise ModelRefused(told, field="model")
    told = f"which is the model: {', '.join(found)[:200]}? params.json may say so"
    raise ModelRefused(told, field="model")


def _may_be_model(path: Path) -> bool:
    from gpfn.models.backends import BACKENDS
    from gpfn.models.filekind import recognise

    try:
        return recognise(str(path), BACKENDS) is not None
    except ModelUnreadable:  # which is told when it is the only one
        return path.suffix in (".tflite", ".onnx", ".pb")


def _kind_of(place: Path, model: str) -> str:
    """Return the kind of the backend that opens it. Raises UnsupportedMedia for any other."""
    from gpfn.models.backends import BACKENDS
    from gpfn.models.filekind import describe, recognise

    if model == WHOLE_FOLDER:
        return "tensorflow-savedmodel"
    refuse_kind(place, model.rpartition("/")[2])
    try:
        row = recognise(str(place), BACKENDS)
    except ModelUnreadable as error:
        raise ModelRefused(error.detail.replace(str(place), model), field="model") from error
    if row is None:
        told = describe(str(place)).replace(str(place), model)
        raise UnsupportedMedia(told, field="model")
    return row.kind


def _labels_of(paths: Mapping[str, Path], named: str) -> str:
    return next((path for path in (named, _LABELS) if path in paths), "")


def _check_labels(path: Path) -> None:
    """Refuse labels that cannot be read, or that are more than all processes can keep in a list."""
    if path.stat().st_size > _LABELS_BYTES:
        raise TooLarge(f"labels of more than {_LABELS_BYTES} bytes", field="labels")
    read_labels(path)


def _vetted(place: Path, kind: str, params: TfaasParameters, bounds: VetBounds) -> Any:
    """Return inputs, outputs and notes of a model that a process of its own has called."""
    from gpfn.models.vet import vet_model

    named = kind == _FROZEN  # all others say themselves what they take
    found = vet_model(
        place,
        inputs=(params.input,) if named and params.input else (),
        outputs=(params.output,) if named and params.output else (),
        seconds=bounds.seconds,
        memory=bounds.memory,
        operators=_OPERATORS.get(kind, kind),
    )
    notes = []
    if not named:
        for side, given, specs in (
            ("input", params.input, found.inputs),
            ("output", params.output, found.outputs),
        ):
            if given and given not in [spec.name for spec in specs]:
                names = ", ".join(spec.name for spec in specs)[:300]
                notes.append(
                    f"the model has no {side} {given:.99}, which params.json names: {names}"
                )
    return found.inputs, found.outputs, tuple(notes)


# files


def _base_name(file: ReceivedFile) -> str:
    """Return the last part of a sender's path, as TFaaS does."""
    name = file.filename.replace("\\", "/").rpartition("/")[2]
    return check_path(name, field=file.field)


def _placed(file: ReceivedFile, place: Path, path: str, *, base64: bool) -> StoredFile:
    """Move a file to its place, out of base64 where it was sent so."""
    opaque = file.media_type in ("", "application/octet-stream")
    if base64 and (file.field == "model" or opaque) and _decode(file.path, place):
        return stored_file(place, path)
    os.rename(file.path, place)
    return StoredFile(path, file.size, file.sha256)


def _decode(source: Path, target: Path) -> bool:
    """Write a file out of base64; False, and nothing is written, when it is not in it."""
    rest = b""
    try:
        with source.open("rb") as read, target.open("xb") as write:
            while block := read.read(_BLOCK):
                text = rest + block.translate(None, b"\r\n")
                end = len(text) - len(text) % 4
                write.write(binascii.a2b_base64(text[:end], strict_mode=True))
                rest = text[end:]
    except binascii.Error:
        rest = b"?"
    if rest:
        target.unlink()
    return not rest


def stored_file(place: Path, path: str) -> StoredFile:
    """Return what a file is in a version, where it has another path."""
    import hashlib

    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return StoredFile(path, os.fstat(file.fileno()).st_size, digest)
