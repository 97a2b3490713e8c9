"""What V1 answers besides predictions: status, metadata, the list of models, errors.

TF Serving and KServe differ on ``GET /v1/models/M``: one has the state of each version, the
other ``name`` and ``ready``. One object has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import orjson

from gpfn.errors import GpfnError
from gpfn.public_text import public_text
from gpfn.tensors.spec import TensorSpec
from gpfn.v1.envelope import SIGNATURE

__all__ = [
    "State",
    "VersionStatus",
    "error_body",
    "metadata_document",
    "models_document",
    "status_document",
    "status_of",
]

State = Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]


class VersionStatus(NamedTuple):
    """The state of one version; ``message`` says why it has ended, if it failed."""

    version: str
    state: State = "AVAILABLE"
    message: str = ""


def status_document(
    name: str, versions: Sequence[VersionStatus], *, ready: bool | None = None
) -> bytes:
    """Return the state of a model's versions, which TF Serving's and KServe's clients read.

    ``ready`` says that the model answers: by default, when a version is available. Of one
    that does not, ``error`` says so, which is what KServe's client shows.
    """
    if ready is None:
        ready = any(version.state == "AVAILABLE" for version in versions)
    document: dict[str, object] = {
        "name": name,
        "ready": ready,
        "model_version_status": [_version_json(version) for version in versions],
    }
    if not ready:
        document["error"] = f"Model with name {name} is not ready."
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _version_json(version: VersionStatus) -> dict[str, object]:
    return {
        "version": version.version,
        "state": version.state,
        "status": {
            "error_code": "INTERNAL" if version.message else "OK",
            "error_message": public_text(version.message),
        },
    }


def models_document(names: Sequence[str]) -> bytes:
    """Return KServe's list of models."""
    return orjson.dumps({"models": list(names)})


def metadata_document(
    name: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> bytes:
    """Return a version's signature as TF Serving's GetModelMetadataResponse in JSON.

    An unknown size is "-1"; sizes are strings, as protobuf writes 64 bits in JSON.
    """
    signature = {
        "inputs": {spec.name: _tensor_json(spec) for spec in inputs},
        "outputs": {spec.name: _tensor_json(spec) for spec in outputs},
        "method_name": "tensorflow/serving/predict",
    }
    document = {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _tensor_json(spec: TensorSpec) -> dict[str, object]:
    sizes = ["-1" if size is None else str(size) for size in spec.shape or ()]
    return {
        "dtype": _DTYPES.get(spec.dtype, f"DT_{spec.dtype.upper()}"),
        "tensor_shape": {
            "dim": [{"size": size, "name": ""} for size in sizes],
            "unknown_rank": spec.shape is None,
        },
        "name": spec.name,
    }


_DTYPES = {"float16": "DT_HALF", "float32": "DT_FLOAT", "float64": "DT_DOUBLE"}
"""The dtypes whose names TensorFlow spells in another way."""


# errors


def status_of(error: BaseException) -> int:
    """Return the status for an error: its own, but 500 for a model that failed, not 502.

    A model is no gateway to V1's clients; TF Serving has no 502.
    """
    status = error.status if isinstance(error, GpfnError) else 500
    return 500 if status == 502 else status


def error_body(error: BaseException) -> bytes:
    """Return an error's document; of one that is not ours, nothing but that there was one."""
    known = isinstance(error, GpfnError)
    told = public_text(str(error)) if known else "internal error; see the log"
    return b'{\n    "error": %b\n}' % orjson.dumps(told)
