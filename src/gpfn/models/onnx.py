"""ONNX models through ONNX Runtime, in this process (extra ``onnx``)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import MissingExtra, ModelFailed, ModelUnreadable
from gpfn.models.onnx_values import (
    Labels,
    OutputReader,
    class_labels,
    output_of,
    tensor_spec,
    to_text,
)
from gpfn.models.parts import model_size
from gpfn.models.signature import (
    Array,
    arguments,
    check_some_left,
    chosen,
    plain_names,
    selected,
)
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["OnnxModel"]

_FATAL = 4
_MAPS = "map("
_NO_OPERATOR = (
    "it has no operator {0}; export the model with the operators of ONNX alone, or put what that "
    "computes into a Python function"
)
_NO_LOCALE = (
    "its texts need the locale {0}, which is not installed here: install it, or export with "
    "another one (sklearn-onnx: the option locale, 'C.UTF-8')"
)
_UPDATE = "or update ONNX Runtime: pip install --upgrade onnxruntime"
_REFUSALS = (
    (r"No Op registered for (\S{1,99})", _NO_OPERATOR),
    (r"Fatal error: (\S{1,99}?)(?:\(-?\d+\))? is not a registered function/op", _NO_OPERATOR),
    (
        r"Opset (\d+) is under development.* for domain (\S+) is till opset (\d+)",
        "the model has opset {0} of {1}, and it knows up to {2}; export it again with that one, "
        + _UPDATE,
    ),
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        "the model has IR version {0}, and it knows up to {1}; set its ir_version to that one, "
        + _UPDATE,
    ),
    (  # of StringNormalizer, as in the vectorizers of scikit-learn
        r"Failed to construct locale with name:([\w.@-]+)",
        _NO_LOCALE,
    ),
)
"""What ONNX Runtime says of models that it is too old for or that need more than it has."""


class OnnxModel:
    """An .onnx file; see `gpfn.models.Model`.

    Strings are UTF-8 in ONNX. A sequence of tensors of one shape is one array, and so are the
    mappings of a classifier, whose classes ``labels`` has by the output's name, as far as the
    file tells them. ``sequences`` are the outputs that were sequences of tensors. ``left_out``
    says of each output that cannot be used why, and what helps.
    """

    backend = "onnx"

    def __init__(
        self,
        path: str,
        *,
        threads: int = 1,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
    ) -> None:
        self.name = path
        size = model_size(path)  # which also says what is wrong with files beside it
        self._session: onnxruntime.InferenceSession | None = _session(path, threads)
        takes, gives = self._session.get_inputs(), self._session.get_outputs()
        self._input_names = _given_names(takes)
        self._output_names = _given_names(gives)
        labels = class_labels(path) if any(_MAPS in end.type for end in gives) else {}
        self.labels: dict[str, Labels] = {}
        self._outputs: dict[str, OutputReader] = {}
        self.left_out: dict[str, str] = {}
        for name, end in zip(self._output_names, gives, strict=True):
            found = output_of(end, name, labels.get(end.name, ()))
            if isinstance(found, str):
                self.left_out[name] = found
            else:
                self._outputs[name] = found
                self.labels |= {name: labels[end.name]} if end.name in labels else {}
        self.sequences = tuple(
            name
            for name, end in zip(self._output_names, gives, strict=True)
            if end.type.startswith("seq(tensor")
        )
        check_some_left(self._outputs, self.left_out, path)
        self.inputs: tuple[TensorSpec, ...] = selected(
            inputs, _input_specs(self._input_names, takes, path), "inputs"
        )
        self.outputs: tuple[TensorSpec, ...] = selected(
            outputs, [each.spec for each in self._outputs.values()], "outputs", self.left_out
        )
        self.resident_bytes = size

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`."""
        session = self._session
        if session is None:
            raise ModelFailed(f"{self.name} is closed")
        arrays = arguments(inputs, self.inputs)
        names = [spec.name for spec in chosen(outputs, self.outputs, self.left_out)]
        feed = {
            self._input_names[spec.name]: to_text(array, spec) if spec.dtype == "string" else array
            for spec, array in zip(self.inputs, arrays, strict=True)
        }
        deadline.check("inference")
        try:
            given = session.run([self._output_names[name] for name in names], feed)
        except Exception as error:
            raise ModelFailed(f"{self.name}: {error}") from error
        return {
            name: self._outputs[name].read(value) for name, value in zip(names, given, strict=True)
        }

    def close(self) -> None:
        """Let the session go; it is freed when the calls at work have ended."""
        self._session = None


def _session(path: str, threads: int) -> "onnxruntime.InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("ONNX Runtime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # which would keep the memory of the largest batch
    options.log_severity_level = _FATAL  # what it logs, its exceptions say too
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its trace says nothing that its text does not
        told = _explained(str(error)) or str(error)
        raise ModelUnreadable(f"ONNX Runtime cannot open it ({told}): {path}") from None


def _explained(text: str) -> str:
    """Return what to do about an error that is known; nothing for another one."""
    for pattern, told in _REFUSALS:
        if found := re.search(pattern, text, re.DOTALL):
            return told.format(*found.groups())
    return ""


def _given_names(ends: Iterable[Any]) -> dict[str, str]:
    """Return the names that ONNX Runtime has, by those that they have here."""
    return {plain: given for given, plain in plain_names(end.name for end in ends).items()}


def _input_specs(names: Iterable[str], ends: Iterable[Any], path: str) -> list[TensorSpec]:
    specs = []
    for name, end in zip(names, ends, strict=True):
        spec = tensor_spec(end, name)
        if spec is None:
            raise ModelUnreadable(f"input {name} has the unsupported type {end.type}: {path}")
        specs.append(spec)
    return specs
