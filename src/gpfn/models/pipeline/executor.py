"""Runs the stages of a pipeline, which is a model itself: named arrays in, named arrays out.

Stages that do not need each other run at once. The first failure ends the others: nobody
waits for them. A deadline that passes ends the run, and no stage begins after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import (
    GpfnError,
    InvalidTensor,
    SetupError,
)
from gpfn.models.pipeline.branches import Branches
from gpfn.models.pipeline.ends import (
    asked_outputs,
    check_known,
    inputs_of,
    named,
    outputs_of,
    renamed,
    value_of,
)
from gpfn.models.pipeline.failures import in_stage
from gpfn.models.pipeline.feeding import Feed, feed
from gpfn.models.pipeline.graph import check_graph, in_order, with_sources
from gpfn.models.pipeline.opened import OpenStage, open_stage, open_target
from gpfn.models.pipeline.stage import INPUTS, Origin, Stage
from gpfn.models.signature import find_name

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.models.signature import Array
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Pipeline"]

_Arrays = Mapping[str, "Array"]
_Seen = Callable[[str, _Arrays], object]


class Pipeline:
    """Stages and what they give each other; see `gpfn.models.Model`.

    Args:
        stages: In any order. What they name is opened here; servers are not asked yet.
        outputs: Where each output comes from. By default they are those of the last stage,
            and before them whatever passes by the stages.
        name: What errors and metadata call it.
        opener: Opens a stage's target.

    Raises SetupError, naming the stage and the field, when it cannot work.
    """

    backend = "pipeline"

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        outputs: Mapping[str, Origin] | None = None,
        name: str = "pipeline",
        opener: Callable[[Stage], Model] = open_target,
    ) -> None:
        self.name = name
        check_graph(stages, outputs or {})
        known = with_sources(stages)
        ordered = in_order(known)
        self._last = known[-1].name
        self._origins = dict(outputs or {})
        self._feeds: dict[tuple[str, tuple[str, ...]], Feed] = {}
        self._asked = asked_outputs(known, self._origins, self._last)
        self.stages: tuple[OpenStage, ...] = _open_all(ordered, opener)
        self._branches = None if _in_line(ordered) else Branches(len(ordered))
        self.waits = any(getattr(each.model, "waits", False) for each in self.stages)
        """Whether a call waits for other machines or processes."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes, as far as its stages tell."""
        return self.inputs_within(NEVER)

    def inputs_within(self, deadline: Deadline) -> tuple[TensorSpec, ...]:
        """Return the same; servers have until the deadline to tell."""
        found: dict[str, TensorSpec] = {}
        for each in self.stages:
            takes = each.stage.takes
            if INPUTS not in each.stage.sources:
                continue
            specs = {spec.name: spec for spec in inputs_of(each.model, deadline)}
            if takes == INPUTS:
                found |= {name: spec for name, spec in specs.items() if name not in found}
            elif not isinstance(takes, str):
                for name, origin in takes.items():
                    match = find_name(name, specs)
                    if origin.stage == INPUTS and match and origin.output not in found:
                        found[origin.output] = renamed(specs[match], origin.output or match)
        return tuple(found.values())

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives, as far as its stages tell."""
        specs = {
            each.name: {spec.name: spec for spec in outputs_of(each.model)} for each in self.stages
        }
        specs[INPUTS] = {spec.name: spec for spec in self.inputs}
        try:
            ends = self._ends({name: list(found) for name, found in specs.items()})
        except GpfnError:
            return ()
        return tuple(
            renamed(specs[origin.stage][origin.output], name)
            for name, origin in ends.items()
            if origin.output in specs[origin.stage]
        )

    def __call__(
        self,
        inputs: _Arrays,
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`. An error names its stage."""
        return self.run(inputs, outputs=outputs, deadline=deadline)

    def run(
        self,
        inputs: _Arrays,
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
        seen: _Seen | None = None,
    ) -> dict[str, Array]:
        """Compute, and tell ``seen`` what each stage gives, in the thread that computed it."""
        whole = math.inf if deadline is NEVER else deadline.remaining()
        results: dict[str, _Arrays] = {INPUTS: inputs}

        def compute(each: OpenStage) -> _Arrays:
            given = self._given(each, results, deadline)
            found = each(given, self._asked[each.name], deadline, whole)
            if seen is not None:
                seen(each.name, found)
            return found

        if self._branches is None:
            for each in self.stages:
                results[each.name] = compute(each)
        else:
            self._branches.run(self.stages, compute, results, deadline)
        return self._answer(results, outputs)

    def close(self) -> None:
        """Close the models that were opened for it."""
        if self._branches is not None:
            self._branches.close()
        for each in self.stages:
            if each.owned:
                each.model.close()

    def _given(
        self, each: OpenStage, results: Mapping[str, _Arrays], deadline: Deadline
    ) -> _Arrays:
        """Return what a stage is called with."""
        takes = each.stage.takes
        if takes == INPUTS:
            return self._own(each, results[INPUTS], deadline)
        if isinstance(takes, str):
            given = results[takes]
            taken = self._feed(each, tuple(given), deadline).taken
            return {name: given[output] for name, output in taken.items()}
        return {name: value_of(each.name, origin, results) for name, origin in takes.items()}

    def _own(self, each: OpenStage, inputs: _Arrays, deadline: Deadline) -> _Arrays:
        """Return those of the pipeline's inputs that a stage takes; all, if it alone takes any."""
        takers = [one for one in self.stages if INPUTS in one.stage.sources]
        if len(takers) == 1:
            return inputs
        if not self.waits:  # then nobody else has to be asked for it
            check_known(inputs, [spec.name for spec in self.inputs])
        specs = [spec.name for spec in inputs_of(each.model, deadline)]
        return {name: array for name, array in inputs.items() if find_name(name, specs)} or inputs

    def _feed(self, each: OpenStage, gives: tuple[str, ...], deadline: Deadline = NEVER) -> Feed:
        """Return what a stage gets of the one that it takes all of; it is worked out once."""
        key = (each.name, gives)
        found = self._feeds.get(key)
        if found is None:
            specs = inputs_of(each.model, deadline)
            try:
                found = feed(gives, [spec.name for spec in specs])
            except SetupError as error:
                raise in_stage(error, each.name) from None
            if specs:  # what is not known yet may be known later
                self._feeds[key] = found
        return found

    def _answer(self, results: Mapping[str, _Arrays], wanted: Sequence[str]) -> dict[str, Array]:
        ends = self._ends(results)
        found = {name: value_of("outputs", origin, results) for name, origin in ends.items()}
        if not wanted:
            return found
        names = {name: find_name(name, found) for name in wanted}
        for name, match in names.items():
            if match is None:
                told = f"unknown output; the pipeline gives {', '.join(list(found)[:9])}"
                raise InvalidTensor(told, field=name)
        return {match: found[match] for match in names.values() if match}

    def _ends(self, names: Mapping[str, Sequence[str] | _Arrays]) -> dict[str, Origin]:
        """Return where each output comes from, when stages give outputs of these names."""
        if self._origins:
            return {name: named(origin, names) for name, origin in self._origins.items()}
        return self._usual_ends(names)

    def _usual_ends(self, names: Mapping[str, Sequence[str] | _Arrays]) -> dict[str, Origin]:
        """Return the last stage's outputs, then what passes by stages, the last ones first."""
        ends = {name: Origin(self._last, name) for name in names[self._last]}
        for each in reversed(self.stages):
            takes = each.stage.takes
            if takes == INPUTS or not isinstance(takes, str):
                continue
            for name in self._feed(each, tuple(names[takes])).passing:
                if name in ends:
                    told = f"{name} is given by {takes} and by {ends[name].stage}; say which in"
                    raise SetupError(f"{told} the pipeline's outputs", field="outputs")
                ends[name] = Origin(takes, name)
        return ends


def _open_all(stages: Sequence[Stage], opener: Callable[[Stage], Model]) -> tuple[OpenStage, ...]:
    opened: list[OpenStage] = []
    try:
        opened.extend(open_stage(stage, opener) for stage in stages)
    except BaseException:
        for each in opened:
            if each.owned:
                each.model.close()
        raise
    return tuple(opened)


def _in_line(stages: Sequence[Stage]) -> bool:
    """Say whether each stage needs the one before it and no other."""
    before = [INPUTS, *(stage.name for stage in stages)]
    return all(stage.sources == (one,) for stage, one in zip(stages, before, strict=False))
