"""The models that the recordings were made with, as files for our server and for Triton.

Each is a Python function of arrays by name. A models folder of ours is
``NAME/VERSION/model.py`` with a ``model.toml``; Triton's has the same function in a class of its
own kind, and a ``config.pbtxt``.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["KSERVE", "KSERVE_V1", "MLSERVER", "STUB", "TRITON", "write_ours", "write_tritons"]

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Datatype and shape without the batch axis, -1 for any size, by name."""

DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "string",
}


class Recorded(NamedTuple):
    """A model: ``body`` computes from ``a``, the inputs by name; ``batch`` 0 is no batch axis."""

    name: str
    inputs: Tensors
    outputs: Tensors
    body: str
    batch: int = 0
    versions: tuple[str, ...] = ("1",)
    labels: tuple[str, ...] = ()


def _two(datatype: str, body: str, name: str, versions: tuple[str, ...]) -> Recorded:
    inputs, outputs = ({f"{end}PUT{n}": (datatype, (16,)) for n in (0, 1)} for end in ("IN", "OUT"))
    return Recorded(name, inputs, outputs, body, batch=8, versions=versions)


SUM = """
return {"OUTPUT0": a["INPUT0"] + a["INPUT1"], "OUTPUT1": a["INPUT0"] - a["INPUT1"]}
"""

STRINGS = """
x, y = (np.vectorize(lambda text: int(text or 0))(a[name]) for name in ("INPUT0", "INPUT1"))
text = np.vectorize(lambda number: b"%d" % number, otypes=[object])
return {"OUTPUT0": text(x + y), "OUTPUT1": text(x - y)}
"""

SOFTMAX = """
e = np.exp(a["x"][:, :3] - a["x"][:, :3].max(axis=1, keepdims=True))
return {"probs": (e / e.sum(axis=1, keepdims=True)).astype(np.float32)}
"""

SLOW = """
import time
time.sleep(1)
return {"y": a["x"]}
"""

_PLAIN: Tensors = {"x": ("FP32", (-1, 3))}
_COLOURS = ("red", "green", "blue")

TRITON = (
    _two("INT32", SUM, "simple", ("1", "2")),
    _two("BYTES", STRINGS, "simple_string", ("1",)),
    Recorded(
        "simple_identity",
        {"INPUT0": ("BYTES", (-1,))},
        {"OUTPUT0": ("BYTES", (-1,))},
        'return {"OUTPUT0": a["INPUT0"]}',
        batch=8,
    ),
    *(
        Recorded(
            f"id_{datatype.lower()}",
            {"IN": (datatype, (-1,))},
            {"OUT": (datatype, (-1,))},
            'return {"OUT": a["IN"]}',
        )
        for datatype in DTYPES
        if datatype != "BYTES"
    ),
    Recorded(
        "dnn",
        {"x": ("FP32", (42,))},
        {"y": ("FP32", (1,))},
        'return {"y": a["x"].mean(axis=1, keepdims=True)}',
        batch=64,
    ),
    Recorded(
        "classify",
        {"x": ("FP32", (4,))},
        {"probs": ("FP32", (3,))},
        SOFTMAX,
        batch=8,
        labels=_COLOURS,
    ),
    Recorded("slow", {"x": ("FP32", (1,))}, {"y": ("FP32", (1,))}, SLOW, batch=8),
    Recorded("ensembleless", _PLAIN, {"y": ("FP32", (-1, 3))}, 'return {"y": a["x"]}'),
)
"""Of the real server; ``sequence`` and ``repeat`` need what ours does not have: state, and
several answers to one request."""

KSERVE = (
    Recorded("m", {}, {}, 'return {"out": a["x"] if a["x"].dtype == object else 2 * a["x"]}'),
)
KSERVE_V1 = (
    Recorded(
        "m",
        {"x": ("FP32", (-1, -1))},
        {"y": ("FP32", (-1,))},
        'return {"y": a["x"].sum(axis=1)}',
    ),
)
"""KServe's model answered V1 by another function than V2, whose inputs are not known."""

MLSERVER = (Recorded("id", {}, {}, 'return {"out": a["x"]}'),)
STUB = (
    Recorded("m", {"x": ("FP32", (4,))}, {"y": ("FP32", (4,))}, 'return {"y": a["x"]}', batch=8),
)

OURS = """
import numpy as np
from gpfn import TensorSpec
from gpfn.models.python import declare


{declared}
def apply(a: dict):
{body}
"""

THEIRS = """
import numpy as np
import triton_python_backend_utils as triton


def apply(a):
{body}


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        results = apply({{t.name(): t.as_numpy() for t in request.inputs()}})
        return triton.InferenceResponse([triton.Tensor(n, v) for n, v in results.items()])
"""


def write_ours(models: Iterable[Recorded], folder: Path) -> None:
    """Write a models folder for ``gpfn serve --models-dir``."""
    for model in models:
        described = ['model = "model.py:apply"']
        if model.labels:
            described.append('labels = "labels.txt"')
        described += ["[serving]", f"max_batch = {model.batch}", "keep = 2"]
        for version in model.versions:
            files = folder / model.name / version
            files.mkdir(parents=True)
            (files / "model.py").write_text(_source(OURS, model))
            (files / "model.toml").write_text("\n".join(described) + "\n")
            if model.labels:
                (files / "labels.txt").write_text("\n".join(model.labels) + "\n")


def write_tritons(models: Iterable[Recorded], folder: Path) -> None:
    """Write a model repository for Triton."""
    for model in models:
        for version in model.versions:
            files = folder / model.name / version
            files.mkdir(parents=True)
            (files / "model.py").write_text(_source(THEIRS, model))
        lines = [f'name: "{model.name}"', 'backend: "python"', f"max_batch_size: {model.batch}"]
        lines += ["instance_group [{ kind: KIND_CPU, count: 1 }]"]
        if len(model.versions) > 1:
            lines.append("version_policy: { all { }}")
        for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
            label = ', label_filename: "labels.txt"' if model.labels and kind == "output" else ""
            lines += [
                f'{kind} [{{ name: "{name}", data_type: {_config_type(datatype)}, '
                f"dims: {list(shape)}{label} }}]"
                for name, (datatype, shape) in tensors.items()
            ]
        (folder / model.name / "config.pbtxt").write_text("\n".join(lines) + "\n")
        if model.labels:
            (folder / model.name / "labels.txt").write_text("\n".join(model.labels) + "\n")


def _source(template: str, model: Recorded) -> str:
    body = "\n".join(f"    {line}" for line in model.body.strip().splitlines())
    given, wanted = (_specs(tensors, model.batch) for tensors in (model.inputs, model.outputs))
    declared = f"@declare(inputs={given}, outputs={wanted})" if model.inputs else ""
    return template.format(body=body, declared=declared)


def _specs(tensors: Tensors, batch: int) -> str:
    rows = (None,) if batch else ()
    specs = []
    for name, (datatype, sizes) in tensors.items():
        shape = (*rows, *(None if size < 0 else size for size in sizes))
        specs.append(f'"{name}": TensorSpec("{DTYPES[datatype]}", {shape})')
    return "{" + ", ".join(specs) + "}"


def _config_type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
