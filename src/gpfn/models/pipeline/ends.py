"""The ends of a pipeline: what goes in and out of it and of its stages, by name.

What a server does not tell in time is not known: its stage is called all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gpfn.errors import BackendError, DeadlineExceeded, InvalidTensor, ModelFailed
from gpfn.models.pipeline.stage import INPUTS, Origin, Stage
from gpfn.models.signature import find_name
from gpfn.tensors.cast import plain_array

if TYPE_CHECKING:
    from gpfn.deadline import Deadline
    from gpfn.models.model import Model
    from gpfn.models.signature import Array
    from gpfn.tensors.spec import TensorSpec

    _Arrays = Mapping[str, Array]

__all__ = [
    "asked_outputs",
    "check_known",
    "inputs_of",
    "named",
    "outputs_of",
    "read_only",
    "renamed",
    "value_of",
]


def asked_outputs(
    stages: Sequence[Stage], origins: Mapping[str, Origin], last: str
) -> dict[str, tuple[str, ...]]:
    """Return which outputs each stage is asked for: those that are named, if no other is used."""
    wanted: dict[str, list[str]] = {stage.name: [] for stage in stages}
    used = [*origins.values()] if origins else [Origin(last)]
    for stage in stages:
        takes = stage.takes
        used += [Origin(takes)] if isinstance(takes, str) else takes.values()
    for origin in used:
        wanted.get(origin.stage, []).append(origin.output)
    return {
        name: () if "" in outputs else tuple(dict.fromkeys(outputs))
        for name, outputs in wanted.items()
    }


def inputs_of(model: Model, deadline: Deadline) -> tuple[TensorSpec, ...]:
    """Return a model's inputs; nothing when they are a server's that does not tell in time."""
    within: Callable[[Deadline], tuple[TensorSpec, ...]] | None
    within = getattr(model, "inputs_within", None)
    try:
        return model.inputs if within is None else within(deadline)
    except (BackendError, DeadlineExceeded):
        return ()


def outputs_of(model: Model) -> tuple[TensorSpec, ...]:
    """Return a model's outputs; nothing when they are a server's that does not tell."""
    try:
        return model.outputs
    except BackendError:
        return ()


def check_known(inputs: _Arrays, known: Sequence[str]) -> None:
    """Raise InvalidTensor for an input that no stage takes."""
    for name in inputs:
        if known and find_name(name, known) is None:
            told = f"unknown input; the pipeline takes {', '.join(known[:9])}"
            raise InvalidTensor(told, field=name)


def read_only(value: object, name: str) -> Array:
    """Return an array for a stage to read: others may get it as well, and so may the caller.

    Raises InvalidTensor for a masked one.
    """
    array = plain_array(value, name)
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def renamed(spec: TensorSpec, name: str) -> TensorSpec:
    """Return the spec by that name."""
    return spec if spec.name == name else replace(spec, name=name)


def named(origin: Origin, names: Mapping[str, Sequence[str] | _Arrays]) -> Origin:
    """Return the origin with the name of the output, which it leaves out where there is one."""
    given = list(names[origin.stage])
    if origin.output or len(given) != 1:
        return origin
    return Origin(origin.stage, given[0])


def value_of(taker: str, origin: Origin, results: Mapping[str, _Arrays]) -> Array:
    """Return what ``taker`` gets. Raises InvalidTensor when the caller has not given it.

    Raises ModelFailed when a stage has not.
    """
    given = results[origin.stage]
    if not origin.output and len(given) == 1:
        return next(iter(given.values()))
    match = find_name(origin.output, given)
    if match is None:
        told = f"{origin.stage} gave no output {origin.output!r:.99}, but {', '.join([*given][:9])}"
        if origin.stage == INPUTS:
            raise InvalidTensor(f"missing input of the stage {taker}", field=origin.output)
        raise ModelFailed(f"stage {origin.stage}: {told}; {taker} takes it")
    return given[match]
