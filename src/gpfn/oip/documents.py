"""The protocol's documents as plain values: metadata, configuration, statistics, index, error.

They are for any JSON writer. A shape has -1 where a size is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from gpfn.errors import InvalidRequest, error_document
from gpfn.oip.datatypes import DATATYPES
from gpfn.tensors.dtypes import OPEN_INFERENCE_NAMES
from gpfn.tensors.shapes import what
from gpfn.tensors.spec import TensorSpec

__all__ = [
    "Durations",
    "ModelIndex",
    "ModelStatistics",
    "ServedTensors",
    "error_body",
    "error_text",
    "model_config",
    "model_metadata",
    "model_statistics",
    "read_model_metadata",
    "repository_index",
    "server_metadata",
]


def server_metadata(name: str, version: str, extensions: Sequence[str]) -> dict[str, Any]:
    """Return what ``GET /v2`` answers."""
    return {"name": name, "version": version, "extensions": list(extensions)}


def model_metadata(
    name: str,
    versions: Sequence[str],
    platform: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> dict[str, Any]:
    """Return what ``GET /v2/models/NAME`` answers; shapes include the axis of the batch.

    A spec without a shape has the empty one: the protocol has no word for an unknown rank.
    """
    return {
        "name": name,
        "versions": list(versions),
        "platform": platform,
        "inputs": [_tensor(spec) for spec in inputs],
        "outputs": [_tensor(spec) for spec in outputs],
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    datatype = OPEN_INFERENCE_NAMES[spec.dtype]
    return {"name": spec.name, "datatype": datatype, "shape": _sizes(spec.shape or ())}


def _sizes(shape: Iterable[int | None]) -> list[int]:
    return [-1 if size is None else size for size in shape]


class ServedTensors(NamedTuple):
    """What a server says of a model's inputs and outputs.

    ``names`` are those of all inputs and of all outputs; one whose datatype is not known here
    has no spec. ``datatypes`` are the protocol's own of the inputs: BF16 is float32 in a spec.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    names: tuple[tuple[str, ...], tuple[str, ...]]
    datatypes: dict[str, str]


def read_model_metadata(document: object) -> ServedTensors:
    """Return the inputs and outputs of a model's metadata.

    An empty shape is an unknown one: servers send it for models without a signature. Raises
    InvalidRequest for what is no such document.
    """
    if type(document) is not dict:
        raise InvalidRequest(f"expected an object, got {what(document)}", field="metadata")
    takes, gives = (_read_tensors(document.get(side), side) for side in ("inputs", "outputs"))
    return ServedTensors(
        inputs=tuple(spec for _, spec in takes.values() if spec),
        outputs=tuple(spec for _, spec in gives.values() if spec),
        names=(tuple(takes), tuple(gives)),
        datatypes={name: datatype for name, (datatype, spec) in takes.items() if spec},
    )


def _read_tensors(entries: object, side: str) -> dict[str, tuple[str, TensorSpec | None]]:
    """Return the datatype and the spec of each tensor; no spec for a datatype not known here."""
    found: dict[str, tuple[str, TensorSpec | None]] = {}
    if entries is None:
        return found
    if type(entries) is not list:
        raise InvalidRequest(f"expected a list, got {what(entries)}", field=side)
    for index, entry in enumerate(entries):
        name = entry.get("name") if type(entry) is dict else None
        shape = entry.get("shape") if type(entry) is dict else None
        if type(name) is not str or name in found or type(shape) is not list:
            told = "expected an object with a name of its own and a shape"
            raise InvalidRequest(told, field=f"{side}[{index}]")
        if any(type(size) is not int for size in shape):
            raise InvalidRequest("expected whole numbers", field=f"{side}[{index}].shape")
        kind = DATATYPES.get(str(entry.get("datatype")))
        sizes = tuple(None if size < 0 else size for size in shape)
        spec = None if kind is None else TensorSpec(kind.dtype.name, sizes or None, name)
        found[name] = (kind.name if kind else "", spec)
    return found


def model_config(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    platform: str,
    backend: str,
    max_batch: int,
) -> dict[str, Any]:
    """Return what ``GET /v2/models/NAME/config`` answers, as far as clients read it.

    ``max_batch`` is the most rows of one call, 0 for a model without an axis of the batch;
    that axis is left out of the ``dims`` of a model that has one.
    """
    return {
        "name": name,
        "platform": platform,
        "backend": backend,
        "max_batch_size": max_batch,
        "input": [_configured(spec, max_batch) for spec in inputs],
        "output": [_configured(spec, max_batch) for spec in outputs],
    }


def _configured(spec: TensorSpec, max_batch: int) -> dict[str, Any]:
    sizes = _sizes(spec.shape or ())
    return {
        "name": spec.name,
        "data_type": DATATYPES[OPEN_INFERENCE_NAMES[spec.dtype]].config,
        "dims": sizes[1:] if max_batch else sizes,
    }


Durations = Mapping[str, tuple[int, int]]
"""By the name of a step, such as ``queue``: how often, and nanoseconds in all."""

_STEPS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_BATCH_STEPS = _STEPS[3:]


class ModelStatistics(NamedTuple):
    """What one version of a model has done since it was loaded.

    Attributes:
        last_inference: Milliseconds since 1970; 0: never.
        inferences: Rows that were computed.
        executions: Calls of the model, each of a batch.
        steps: ``success``, ``fail``, ``queue``, ``compute_input``, ``compute_infer`` and
            ``compute_output``; one that is left out has not been.
        batches: The ``compute_`` steps by the size of the batch.
    """

    name: str
    version: str
    last_inference: int = 0
    inferences: int = 0
    executions: int = 0
    steps: Durations = {}  # noqa: RUF012 - never changed
    batches: Mapping[int, Durations] = {}


def model_statistics(versions: Iterable[ModelStatistics]) -> dict[str, Any]:
    """Return what ``GET /v2/models/stats`` and its like answer."""
    return {
        "model_stats": [
            {
                "name": one.name,
                "version": one.version,
                "last_inference": one.last_inference,
                "inference_count": one.inferences,
                "execution_count": one.executions,
                "inference_stats": _counted(one.steps, _STEPS),
                "batch_stats": [
                    {"batch_size": size, **_counted(steps, _BATCH_STEPS)}
                    for size, steps in sorted(one.batches.items())
                ],
            }
            for one in versions
        ]
    }


def _counted(steps: Durations, names: Sequence[str]) -> dict[str, dict[str, int]]:
    pairs = [(name, *steps.get(name, (0, 0))) for name in names]
    return {name: {"count": count, "ns": ns} for name, count, ns in pairs}


class ModelIndex(NamedTuple):
    """One version in a repository's index; ``state`` is READY, UNAVAILABLE, LOADING, UNLOADING.

    A model that was never loaded has a name only.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


def repository_index(
    versions: Iterable[ModelIndex], *, ready: bool = False
) -> list[dict[str, Any]]:
    """Return what ``POST /v2/repository/index`` answers; ``ready`` leaves out all others."""
    return [
        {member: value for member, value in one._asdict().items() if value}
        for one in versions
        if one.state == "READY" or not ready
    ]


def error_body(error: BaseException) -> bytes:
    """Return ``{"error": …}``: where it is wrong, and what; of a bug only its class."""
    told = error_document(error)["error"]
    detail = str(told["detail"])
    text = f"{told['field']}: {detail}" if "field" in told else detail
    return orjson.dumps({"error": text})


def error_text(body: bytes | memoryview) -> str:
    """Return what an error's body says: its ``error``, or FastAPI's ``detail``; else nothing."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if type(document) is not dict:
        return ""
    said = document.get("error") or document.get("detail")
    if type(said) is list:  # a row a place, as FastAPI tells what it refuses
        rows = [row for row in said if type(row) is dict]
        said = "; ".join(f"{_place(row.get('loc'))}{row.get('msg')}" for row in rows)
    return said if type(said) is str else ""


def _place(steps: object) -> str:
    return ".".join(map(str, steps)) + ": " if type(steps) is list and steps else ""
