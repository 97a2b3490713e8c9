"""Opening a model by what it is called: an address, a file, a folder, or a function."""

import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.limits import Limits
from gpfn.models.model import Model
from gpfn.models.threads import thread_count

__all__ = ["ACCEPTED", "open_model"]

ACCEPTED = (
    "http(s)://... (a GraphPipe server), a .tflite file (LiteRT), a SavedModel folder or a "
    ".pb file (TensorFlow), a .onnx file (ONNX Runtime), module:callable or file.py:callable"
)
"""What :func:`open_model` takes, in words for an error."""

_HASH = "#sha256="


def open_model(
    uri: "str | os.PathLike[str]",
    *,
    threads: int | Literal["auto"] = 1,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    signature: str = "",
    limits: Limits | None = None,
) -> Model:
    """Open the model that ``uri`` names, with the backend that its kind asks for.

    Args:
        uri: One of what `ACCEPTED` lists. A file may be followed by ``#sha256=`` and
            the hash it has to have.
        threads: For one call; ``auto`` is what CPU affinity and the cgroup allow.
        inputs: Names of all inputs in the order wanted. For TensorFlow and remote
            models any tensors may be named.
        outputs: Names of the outputs wanted when a call asks for none in particular.
        signature: Which of several signatures; by default serving_default, or the only one.
        limits: On a remote model's replies; by default `Limits()`.

    Raises:
        ModelUnreadable: The file is absent, empty, cut off, or of another kind.
        MissingExtra: The backend is not installed; the message is the command.
        SetupError: Anything else that whoever configured this has to change.
    """
    name = os.fspath(uri)
    count = thread_count(threads)
    if name.lower().startswith(("http://", "https://")):
        from gpfn.models.remote import RemoteModel

        return RemoteModel(name, inputs=inputs, outputs=outputs, limits=limits)
    path, _, digest = name.partition(_HASH)
    options = _Options(count, inputs, outputs, signature)
    if os.path.isdir(path):
        return _saved_model(path, digest, options)
    if os.path.exists(path) or not _names_callable(path):
        return _file(path, digest, options)
    from gpfn.models.python import python_model

    return python_model(path)


class _Options(NamedTuple):
    threads: int
    inputs: Sequence[str]
    outputs: Sequence[str]
    signature: str


def _saved_model(path: str, digest: str, options: _Options) -> Model:
    if not any(os.path.isfile(os.path.join(path, f"saved_model.{end}")) for end in ("pb", "pbtxt")):
        raise ModelUnreadable(f"a directory without saved_model.pb, so not a SavedModel: {path}")
    if digest:
        raise SetupError("a folder has no sha256", field="model")
    from gpfn.models.tensorflow import open_saved_model

    return open_saved_model(path, **options._asdict())


def _file(path: str, digest: str, options: _Options) -> Model:
    from gpfn.models.filekind import SUFFIXES, file_kind

    suffix = os.path.splitext(path)[1].lower()
    if not os.path.exists(path) and ("://" in path or suffix not in SUFFIXES):
        raise ModelUnreadable(
            f"no such file, and no model by its name: {path}; accepted: {ACCEPTED}"
        )
    kind = file_kind(path)
    if digest:
        _check_hash(path, digest)
    if kind == "litert":
        from gpfn.models.litert import LiteRTModel

        return LiteRTModel(path, **options._asdict())
    threads, inputs, outputs, signature = options
    if signature:
        raise SetupError(f"only SavedModels and .tflite files have them: {path}", field="signature")
    if kind == "onnx":
        from gpfn.models.onnx import OnnxModel

        return OnnxModel(path, threads=threads, inputs=inputs, outputs=outputs)
    from gpfn.models.tensorflow import open_frozen_graph

    return open_frozen_graph(path, threads=threads, inputs=inputs, outputs=outputs)


def _check_hash(path: str, wanted: str) -> None:
    import hashlib  # only where it is used: loading OpenSSL costs 3 ms

    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.lower():
        raise ModelUnreadable(f"expected the SHA-256 {wanted}, found {found}: {path}")


def _names_callable(uri: str) -> bool:
    """Say whether it reads ``module:name``, ``package.module:name.part`` or ``file.py:name``."""
    place, colon, attribute = uri.rpartition(":")
    named = all(part.isidentifier() for part in attribute.split("."))
    module = all(part.isidentifier() for part in place.split("."))
    return bool(colon) and named and (module or place.endswith(".py"))
