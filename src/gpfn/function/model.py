"""A function as a model: arrays by name to arrays by name, to be served or to be a stage.

So a function's file runs behind a model server and in a pipeline as it runs on a platform.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from threading import RLock
from typing import TYPE_CHECKING

from gpfn.call.callback import run_steps
from gpfn.call.contract import Call, answering
from gpfn.call.costs import Stages
from gpfn.call.pipeline import compute_steps
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidTensor, ModelFailed, SetupError
from gpfn.models.signature import arguments, chosen
from gpfn.platforms.load import load_target
from gpfn.tensors.cast import cast_to, plain_array
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    from gpfn.function.function import Function
    from gpfn.models.signature import Array

__all__ = ["FunctionModel", "open_function_model"]

_NAMES = ("handler", "main", "app")
_ENVIRONMENT = RLock()
"""Held while the environment is another one, which all threads see."""
_SETTINGS_SECONDS = 60.0
"""How long one that is opened with settings waits for another that is."""
_numbers = count(1)


class FunctionModel:
    """A function of arrays; see `gpfn.models.Model`."""

    backend = "function"

    def __init__(self, function: Function, name: str = "") -> None:
        """Open the function. Raises SetupError when it takes no arrays, and as its open() does."""
        if function.takes != "arrays":
            told = f"{function.name} takes {function.takes}; what is served takes arrays"
            hint = "ask it with gpfn invoke or over gpfn run http, or name its model instead"
            raise SetupError(f"{told}; {hint}", field="takes")
        self.function = function
        self.name = name or function.name
        self._contract = function.contract
        self.waits = function.waits or bool(getattr(function.model, "waits", False))
        """Whether a call waits for other machines or processes."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it declares, or its model's."""
        return self.function.specs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it declares, or its model's where that alone answers."""
        function = self.function
        if function.promised or function.handler or function.after or function.model is None:
            return function.promised
        specs = function.model.outputs
        return tuple(s for s in specs if function.output in (None, s.name)) or specs

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`. An exception of the function passes through."""
        contract, specs = self._contract, self.inputs
        if specs and not contract.hints:
            fitted = arguments(inputs, specs)
            inputs = {spec.name: array for spec, array in zip(specs, fitted, strict=True)}
        deadline.check("the function was called")
        call = Call(deadline=deadline)
        extras = {"model": contract.model, "call": call, "event": None, "payload": None}
        steps = compute_steps(contract, inputs, extras, Stages(), deadline)
        results = self._named(run_steps(steps, deadline))
        if not outputs:
            return results
        known = [TensorSpec("string", None, name) for name in results]
        return {spec.name: results[spec.name] for spec in chosen(outputs, known)}

    def names_for(self, number: int) -> tuple[str, ...]:
        """Return the names of ``number`` inputs that come without."""
        specs = self.inputs
        return tuple(spec.name for spec in specs) or tuple(f"input_{i}" for i in range(number))

    def close(self) -> None:
        """Do nothing: its model is the process-wide cache's."""

    def _named(self, result: object) -> dict[str, Array]:
        """Return what it gave as arrays by name. What is none is the function's fault."""
        promised = {spec.name: spec for spec in self.function.promised}
        if not isinstance(result, Mapping):
            name = next(iter(promised)) if len(promised) == 1 else self._contract.output
            result = {name: result}
        try:
            arrays = {str(name): plain_array(value, str(name)) for name, value in result.items()}
            for name, spec in promised.items():
                if name not in arrays:
                    raise ModelFailed(f"{self.name} did not give the output {name}")
                arrays[name] = cast_to(arrays[name], spec, path=name)
        except InvalidTensor as error:
            raise ModelFailed(f"{self.name} gave a wrong output: {error}") from error
        return arrays


def open_function_model(path: str, *, settings: Mapping[str, str] = {}) -> FunctionModel:
    """Load a function's file, or the func.py of a folder, and open it as a model.

    With ``settings`` the file is loaded anew, with these variables in the environment while it
    is loaded and opened: two stages of one file may have different ones.

    Raises SetupError when the file has no function of arrays, and as its open() does.
    """
    if not settings:  # then it may be opened beside others, and by a function that is opened
        return _opened(path, load_target(path, _NAMES))
    with _environment(settings):
        return _opened(path, _loaded_anew(path))


def _opened(path: str, target: object) -> FunctionModel:
    as_model = getattr(answering(target), "as_model", None)
    if as_model is None:
        kind = type(target).__name__
        raise SetupError(f"expected a gpfn.Function, got a {kind}", field=path)
    model: FunctionModel = as_model(path)
    return model


def _loaded_anew(path: str) -> object:
    name = f"gpfn_stage_{next(_numbers)}"
    try:
        return load_target(path, _NAMES, module=name)
    finally:
        sys.modules.pop(name, None)  # nobody imports it by that name


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in the environment. Raises SetupError when others are for too long."""
    if not _ENVIRONMENT.acquire(timeout=_SETTINGS_SECONDS):
        raise SetupError("another function is being opened with settings of its own")
    before = {name: os.environ.get(name) for name in settings}
    try:
        os.environ.update(settings)
        yield
    except ValueError as error:
        raise SetupError(f"no value of a variable: {error}", field="settings") from None
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _ENVIRONMENT.release()
