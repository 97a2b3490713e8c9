"""Which framework a model is of, what converts it, and into what."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from gpfn.errors import SetupError

__all__ = ["KINDS", "TARGETS", "Found", "SourceKind", "TargetFormat", "find_source", "find_target"]

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class TargetFormat(NamedTuple):
    """A format that is written: what it is called, what a file of it ends in, what runs it."""

    name: str
    title: str
    suffixes: tuple[str, ...]
    package: str
    extra: str


TARGETS = (
    TargetFormat("onnx", "ONNX", (".onnx",), "onnxruntime", "onnx"),
    TargetFormat("tflite", "LiteRT", (".tflite",), "ai_edge_litert", ""),
    TargetFormat("pb", "a frozen graph", (".pb",), "tensorflow", "tensorflow"),
    TargetFormat("saved", "a SavedModel", (), "tensorflow", "tensorflow"),
)
"""The last one is a folder, so anything without a suffix."""


class SourceKind(NamedTuple):
    """A kind of model: its environment, the script that reads it there, and its targets.

    ``pickle`` says that reading it runs code that is in it.
    """

    title: str
    environment: str
    script: str
    targets: tuple[str, ...]
    pickle: bool = False


KINDS = {
    "keras": SourceKind("a Keras file", "keras", "from_keras", ("onnx", "tflite", "saved", "pb")),
    "saved_model": SourceKind("a SavedModel", "keras", "from_keras", ("onnx", "tflite", "pb")),
    "pickle": SourceKind("a Python pickle", "trees", "from_sklearn", ("onnx",), pickle=True),
    "xgboost": SourceKind("a model of XGBoost", "trees", "from_xgboost", ("onnx",)),
    "lightgbm": SourceKind("a model of LightGBM", "trees", "from_lightgbm", ("onnx",)),
    "torch_program": SourceKind("a PyTorch program", "torch", "from_torch", ("onnx", "tflite")),
    "torch_code": SourceKind(
        "a PyTorch program with pickled or compiled objects",
        "torch",
        "from_torch",
        ("onnx", "tflite"),
        pickle=True,
    ),
    "torch_module": SourceKind("a PyTorch module", "torch", "from_torch", ("onnx", "tflite")),
    "torch_pickle": SourceKind(
        "a pickled PyTorch module", "torch", "from_torch", ("onnx", "tflite"), pickle=True
    ),
}


class Found(NamedTuple):
    """A model that can be converted: its kind by name, and its file, folder or factory."""

    name: str
    path: str = ""
    factory: str = ""

    @property
    def kind(self) -> SourceKind:
        """What is known of its kind."""
        return KINDS[self.name]

    @property
    def shown(self) -> str:
        """What it is called."""
        return self.factory or self.path


def find_source(model: str) -> Found:
    """Return what a model is: a file or folder by its content, or ``module:factory``.

    Raises SetupError for what is not there, needs no conversion, or cannot be converted; it
    says what to do.
    """
    path = model.rstrip("/") or model
    if os.path.isdir(path):
        if not os.path.isfile(os.path.join(path, "saved_model.pb")):
            raise _wrong(f"{path} is a folder without saved_model.pb, so not a SavedModel")
        return Found("saved_model", path)
    if not os.path.exists(path):
        if _FACTORY.fullmatch(path):
            return Found("torch_module", factory=path)
        raise _wrong(f"no such file: {path}")
    from gpfn.models.foreign_files import foreign_kind

    name = foreign_kind(path)
    if name == "torch":
        return Found(_torch_kind(path), path)
    if name not in KINDS:
        raise _wrong(f"{path} {_reason(path)}")
    return Found(name, path)


def find_target(output: str, found: Found) -> TargetFormat:
    """Return the format that an output's name asks for.

    Raises SetupError when its suffix is none, or when the model cannot become that.
    """
    suffix = os.path.splitext(output.rstrip("/"))[1].lower()
    for target in TARGETS:
        if suffix in target.suffixes or (not suffix and not target.suffixes):
            if target.name in found.kind.targets:
                return target
            able = [each.title for each in TARGETS if each.name in found.kind.targets]
            told = f"{found.kind.title} becomes {' or '.join(able)} here, not {target.title}"
            raise SetupError(told, field="-o")
    known = ", ".join(suffix for each in TARGETS for suffix in each.suffixes)
    raise SetupError(
        f"expected a name that ends in {known}, or a folder's, got {output}", field="-o"
    )


def _torch_kind(path: str) -> str:
    """Return the kind of a file of PyTorch; raises SetupError for what has no graph and no code."""
    from gpfn.convert.torch_files import what_it_is

    what = what_it_is(path)
    kinds = {"program": "torch_program", "program with code": "torch_code"}
    if what == "module":
        return "torch_pickle"
    if what in kinds:
        return kinds[what]
    if what == "script":
        told = "is TorchScript, which PyTorch no longer exports; save the module by"
        raise _wrong(f"{path} {told} torch.export.save(torch.export.export(model, (x,)), 'm.pt2')")
    told = f"gpfn convert module:factory --state {path} -o model.onnx"
    raise _wrong(f"{path} has weights without a model, so its class is needed: {told}")


def _reason(path: str) -> str:
    from gpfn.models.backends import BACKENDS

    suffix = os.path.splitext(path)[1].lower()
    if suffix and any(suffix in row.suffixes for row in BACKENDS):
        return "needs no conversion: it is opened as it is"
    return "is of no kind that is converted: Keras, PyTorch, scikit-learn, XGBoost, LightGBM are"


def _wrong(told: str) -> SetupError:
    return SetupError(told, field="MODEL")
