"""The models that Triton served when its clients were recorded, as Python objects."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.models.description import Serving
from gpfn.serving.opener import Target
from gpfn.tensors.spec import TensorSpec

__all__ = ["LABELS", "RECORDED_MODELS", "SERVING"]

_Arrays = dict[str, np.ndarray[Any, Any]]


class Computed:
    """A model of a function from arrays by name to arrays by name."""

    backend = "python"

    def __init__(
        self,
        name: str,
        compute: Callable[[Mapping[str, Any]], _Arrays],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        self.name = name
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._compute = compute

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> _Arrays:
        from gpfn.models.signature import arguments, chosen

        given = arguments(inputs, self.inputs)
        found = self._compute({s.name: a for s, a in zip(self.inputs, given, strict=True)})
        return {spec.name: found[spec.name] for spec in chosen(outputs, self.outputs)}

    def close(self) -> None:
        pass


def _both(inputs: Mapping[str, Any]) -> _Arrays:
    first, second = inputs["INPUT0"], inputs["INPUT1"]
    return {"OUTPUT0": first + second, "OUTPUT1": first - second}


def _simple() -> Computed:
    ends = [[TensorSpec("int32", (None, 16), f"{side}{n}") for n in (0, 1)] for side in
            ("INPUT", "OUTPUT")]  # fmt: skip
    return Computed("simple", _both, *ends)


def _same(dtype: str, takes: str = "IN", gives: str = "OUT", rank: int = 1) -> Computed:
    shape = (None,) * rank
    ends = [TensorSpec(dtype, shape, takes)], [TensorSpec(dtype, shape, gives)]
    return Computed("identity", lambda inputs: {gives: inputs[takes]}, *ends)


def _classify(inputs: Mapping[str, Any]) -> _Arrays:
    exponents = np.exp(inputs["x"][:, :3] - inputs["x"][:, :3].max())
    return {"probs": (exponents / exponents.sum()).astype(np.float32)}


def _slow(inputs: Mapping[str, Any]) -> _Arrays:
    if inputs["x"].any():
        time.sleep(1)
    return {"y": inputs["x"]}


RECORDED_MODELS: Mapping[str, Mapping[str, Target]] = {
    "simple": {"1": _simple(), "2": _simple()},
    "simple_identity": {"1": _same("string", "INPUT0", "OUTPUT0", 2)},
    "id_fp16": {"1": _same("float16")},
    "id_bool": {"1": _same("bool")},
    "sequence": {"1": _same("int32", "INPUT", "OUTPUT", 2)},
    "dnn": {
        "1": Computed(
            "dnn",
            lambda inputs: {"y": inputs["x"].sum(1, keepdims=True)},
            [TensorSpec("float32", (None, 42), "x")],
            [TensorSpec("float32", (None, 1), "y")],
        )
    },
    "classify": {
        "1": Computed(
            "classify",
            _classify,
            [TensorSpec("float32", (None, 4), "x")],
            [TensorSpec("float32", (None, 3), "probs")],
        )
    },
    "slow": {
        "1": Computed(
            "slow",
            _slow,
            [TensorSpec("float32", (None, 1), "x")],
            [TensorSpec("float32", (None, 1), "y")],
        )
    },
}
LABELS = {"classify": ("red", "green", "blue")}
SERVING = {
    name: Serving(max_batch=most)
    for name, most in {"simple": 8, "simple_identity": 8, "dnn": 64, "classify": 8}.items()
}
