"""Plain Python functions as models: ``module:callable`` or ``file.py:callable``.

``def apply(x)`` takes one array and returns one, a tuple of them, or a mapping of names
to arrays; several parameters are several inputs, which go by position when they come without
names, and a parameter annotated as ``dict`` or ``Mapping`` takes all inputs by name. What it
takes and gives may be declared::

    @declare(inputs={"x": TensorSpec("float32", (None, 3))}, outputs={"y": ...})
    def double(x): ...

Without a declaration nothing is checked, and ``inputs`` and ``outputs`` are empty.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidTensor, ModelFailed, SetupError
from gpfn.models.model import Model
from gpfn.models.signature import Array, arguments, chosen, unusable
from gpfn.source_file import line_in, load_module
from gpfn.tensors.cast import cast_to, dtype_name, plain_array
from gpfn.tensors.spec import DTYPES, TensorSpec

__all__ = ["PythonModel", "declare", "load_callable", "python_model"]

_F = TypeVar("_F", bound=Callable[..., Any])
_STAR = inspect.Parameter.VAR_POSITIONAL


def declare(
    inputs: Mapping[str, TensorSpec] | None = None, outputs: Mapping[str, TensorSpec] | None = None
) -> Callable[[_F], _F]:
    """Declare a function's inputs and outputs; they are checked before and after each call."""

    def mark(function: _F) -> _F:
        function.gpfn_inputs = _named(inputs or {})  # type: ignore[attr-defined]
        function.gpfn_outputs = _named(outputs or {})  # type: ignore[attr-defined]
        return function

    return mark


def python_model(uri: str) -> Model:
    """Return the model that ``module:callable`` or ``file.py:callable`` names.

    What already is a model, with ``inputs``, ``outputs`` and ``close``, is returned as
    it is; of what has ``as_model``, such as a `gpfn.Function`, that is returned. Raises
    SetupError when it cannot be imported or is not callable.
    """
    found = load_callable(uri)
    if all(hasattr(found, name) for name in ("backend", "inputs", "outputs", "close")):
        return found  # type: ignore[return-value]
    if hasattr(found, "as_model"):
        return found.as_model(uri)  # type: ignore[no-any-return]
    return PythonModel(found, name=uri)


def load_callable(uri: str) -> Callable[..., Any]:
    """Import what ``module:attribute.path`` or ``path/file.py:attribute`` names.

    Raises SetupError, also for whatever the user's own code raises, with its line in the file.
    """
    place, _, attribute = uri.rpartition(":")
    try:
        found: Any = _file(place) if place.endswith(".py") else importlib.import_module(place)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {error}{line_in(os.path.abspath(place), error)}"
        raise SetupError(f"cannot import {uri}: {told}", field="model") from error
    if not callable(found):
        raise SetupError(f"{uri} is a {type(found).__name__}, not callable", field="model")
    if inspect.iscoroutinefunction(found):
        raise SetupError(f"{uri} is asynchronous; a model is a plain function", field="model")
    return found  # type: ignore[no-any-return]


def _named(specs: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, name=name) for name, spec in specs.items())


def _file(path: str) -> Any:
    full = os.path.abspath(path)
    name = "gpfn_model_" + "".join(c if c.isalnum() else "_" for c in full)
    try:
        return load_module(name, full)
    except BaseException:
        sys.modules.pop(name, None)
        raise


class _Call:
    """How a function takes named arrays: its parameters' names and kinds, read once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # written in C, without a signature
            x = inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY)
            parameters = [x, inspect.Parameter("more", _STAR)]
        kinds = {p.kind for p in parameters}
        self._star, self._any = (k in kinds for k in (_STAR, inspect.Parameter.VAR_KEYWORD))
        named = [p for p in parameters if p.kind not in (_STAR, inspect.Parameter.VAR_KEYWORD)]
        needed = [p for p in named if p.default is p.empty]
        self._only_positional = {p.name for p in named if p.kind is p.POSITIONAL_ONLY}
        self.needed = [p.name for p in needed]
        self.known = {p.name for p in named}
        self.positional = [p.name for p in named if p.kind is not p.KEYWORD_ONLY]
        self._mapping = len(needed) == 1 and _is_mapping(needed[0].annotation)

    def names_for(self, count: int) -> tuple[str, ...]:
        """Return names for inputs that come without: parameters in their order, then numbers."""
        named = [] if self._mapping else self.positional[:count]
        return (*named, *(f"input_{index}" for index in range(len(named), count)))

    def __call__(self, name: str, inputs: Mapping[str, Array]) -> object:
        """Call it. Raises InvalidTensor when the inputs are not the parameters."""
        if self._mapping:
            return self._function(dict(inputs))
        if len(inputs) == 1 == len(self.needed):  # the only input needs no name
            inputs = {self.needed[0]: next(iter(inputs.values()))}
        for each in (*inputs, *self.needed):
            if each not in inputs or not (each in self.known or self._any or self._star):
                takes, got = ", ".join(self.needed), ", ".join(inputs)
                raise InvalidTensor(f"{name} takes {takes}; got {got}", field=each)
        more = [] if self._any else [each for each in inputs if each not in self.known]
        ahead = [p for p in self.positional if more or p in self._only_positional]
        ordered = [*(p for p in ahead if p in inputs), *more]  # what *args takes has no name
        rest = {key: value for key, value in inputs.items() if key not in ordered}
        return self._function(*(inputs[each] for each in ordered), **rest)


def _is_mapping(annotation: object) -> bool:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return text.rpartition(".")[2].split("[")[0].lower() in ("dict", "mapping")


class PythonModel:
    """A function of arrays; see `gpfn.models.Model`. It has to be safe in several threads."""

    backend = "python"

    def __init__(self, function: Callable[..., Any], *, name: str = "") -> None:
        self.name = name or getattr(function, "__qualname__", type(function).__name__)
        self.inputs: tuple[TensorSpec, ...] = getattr(function, "gpfn_inputs", ())
        self.outputs: tuple[TensorSpec, ...] = getattr(function, "gpfn_outputs", ())
        self._call = _Call(function)

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`. An exception of the function passes through."""
        if self.inputs:
            arrays = arguments(inputs, self.inputs)
            inputs = {spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)}
        deadline.check("inference")
        results = self._named(self._call(self.name, inputs))
        wanted = chosen(outputs, [TensorSpec("string", None, name) for name in results])
        return self._checked(results, [spec.name for spec in wanted])

    def names_for(self, count: int) -> tuple[str, ...]:
        """Return the names of ``count`` inputs that come without, which go by their position."""
        if self.inputs:
            return tuple(spec.name for spec in self.inputs)
        return self._call.names_for(count)

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _by_name(self, result: object) -> dict[str, Array]:
        if isinstance(result, Mapping):
            return {str(name): plain_array(value, str(name)) for name, value in result.items()}
        values = result if isinstance(result, tuple) else (result,)
        names = [spec.name for spec in self.outputs]
        if len(names) != len(values):
            names = [f"output_{index}" for index in range(len(values))]
        if not self.outputs and len(values) == 1:
            names = ["output"]
        return {name: plain_array(value, name) for name, value in zip(names, values, strict=True)}

    def _named(self, result: object) -> dict[str, Array]:
        """Return the outputs by name. What is no array is the function's fault."""
        try:
            return self._by_name(result)
        except InvalidTensor as error:
            raise ModelFailed(f"{self.name} gave a wrong output: {error}") from error

    def _checked(self, results: dict[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return what is wanted, as it is declared. A wrong one is the function's fault."""
        declared = {spec.name: spec for spec in self.outputs}
        for name in declared.keys() - results.keys():
            raise ModelFailed(
                f"{self.name} did not give the declared output {name}, but {', '.join(results)}"
            )
        try:
            return {name: _fitting(results[name], declared.get(name), name) for name in wanted}
        except InvalidTensor as error:
            raise ModelFailed(f"{self.name} gave a wrong output: {error}") from error


def _fitting(array: Array, spec: TensorSpec | None, name: str) -> Array:
    if spec is None:
        dtype = dtype_name(array)
        if dtype not in DTYPES:
            raise InvalidTensor(f"the dtype {dtype} is not known: a {unusable(dtype)}", field=name)
        spec = TensorSpec(dtype, None, name)
    return cast_to(array, spec, path=name)
