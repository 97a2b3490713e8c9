"""ONNX models through ONNX Runtime, in this process (extra ``onnx``)."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidTensor, MissingExtra, ModelFailed, ModelUnreadable
from gpfn.models.parts import model_size
from gpfn.models.signature import Array, arguments, bare, chosen, selected, shape_spec
from gpfn.tensors.spec import DTYPES, TensorSpec

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["OnnxModel"]

_DTYPES = MappingProxyType(
    {f"tensor({name})": name for name in DTYPES - {"float32", "float64"}}
    | {"tensor(float)": "float32", "tensor(double)": "float64"}
)
"""NumPy's names of the dtypes, by ONNX Runtime's names of the tensor types."""

_FATAL = 4


class OnnxModel:
    """An .onnx file; see `gpfn.models.Model`.

    Strings are UTF-8 in ONNX. Outputs that are no tensors, such as the maps of
    scikit-learn's classifiers, are left out.
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
        self._names = {bare(end.name): end.name for end in self._session.get_inputs()}
        self._names |= {bare(end.name): end.name for end in self._session.get_outputs()}
        takes = _specs(self._session.get_inputs(), path, needed=True)
        gives = _specs(self._session.get_outputs(), path, needed=False)
        self.inputs: tuple[TensorSpec, ...] = selected(inputs, takes, "inputs")
        self.outputs: tuple[TensorSpec, ...] = selected(outputs, gives, "outputs")
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
        specs = chosen(outputs, self.outputs)
        feed = {
            self._names[spec.name]: _text(array, spec) if spec.dtype == "string" else array
            for spec, array in zip(self.inputs, arrays, strict=True)
        }
        deadline.check("inference")
        try:
            given = session.run([self._names[spec.name] for spec in specs], feed)
        except Exception as error:
            raise ModelFailed(f"{self.name}: {error}") from error
        return {
            spec.name: _bytes(array) if spec.dtype == "string" else array
            for spec, array in zip(specs, given, strict=True)
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
    options.log_severity_level = _FATAL  # what it logs, its exceptions say too
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelUnreadable(f"ONNX Runtime cannot open it ({error}): {path}") from error


def _specs(ends: Iterable[Any], path: str, *, needed: bool) -> list[TensorSpec]:
    specs = []
    for end in ends:
        if end.type in _DTYPES:
            # A size is a number, a name of its own when it may vary, or None.
            sizes = (size if isinstance(size, int) else None for size in end.shape)
            specs.append(TensorSpec(_DTYPES[end.type], shape_spec(sizes), bare(end.name)))
        elif needed:
            raise ModelUnreadable(f"input {end.name} has the unsupported type {end.type}: {path}")
    if not specs and not needed:
        raise ModelUnreadable(f"no output is a tensor of a supported type: {path}")
    return specs


def _text(array: Array, spec: TensorSpec) -> Array:
    try:
        texts = [value.decode() for value in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidTensor(f"ONNX strings are UTF-8: {error}", field=spec.name) from None
    return np.array([*texts, None], object)[:-1].reshape(array.shape)


def _bytes(array: Array) -> Array:
    encoded = [value.encode() for value in array.ravel().tolist()]
    return np.array([*encoded, None], object)[:-1].reshape(array.shape)
