"""Runs the stages of a pipeline, which is a model itself: named arrays in, named arrays out.

Stages that do not need each other run at once. The first failure ends the others: nobody
waits for them. A deadline that passes ends the run, and no stage begins after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import GpfnError, InvalidTensor, SetupError
from gpfn.http.pending import Pending
from gpfn.models.pipeline.branches import run_branches
from gpfn.models.pipeline.ends import (
    asked_outputs,
    check_known,
    inputs_of,
    named,
    outputs_of,
    read_only,
    renamed,
    value_of,
)
from gpfn.models.pipeline.failures import in_stage
from gpfn.models.pipeline.feeding import Feed, feed
from gpfn.models.pipeline.graph import check_graph, in_line, in_order, with_sources
from gpfn.models.pipeline.opened import OpenStage, open_all, open_target
from gpfn.models.pipeline.stage import INPUTS, Origin, Stage
from gpfn.models.signature import find_name

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.models.signature import Array
    from gpfn.tensors.spec import TensorSpec

__all__ = ["Pipeline"]

_MOST_FEEDS = 256

_Arrays = Mapping[str, "Array"]
_Seen = Callable[[str, _Arrays], object]


class _Run:
    """One call: what the stages have given so far, what is wanted, and the time for it."""

    __slots__ = ("deadline", "passing", "results", "wanted", "whole")

    def __init__(self, inputs: _Arrays, wanted: Sequence[str], deadline: Deadline) -> None:
        self.results: dict[str, _Arrays] = {INPUTS: inputs}
        self.passing: dict[str, tuple[str, ...]] = {}
        self.wanted = wanted
        self.deadline = deadline
        self.whole = math.inf if deadline is NEVER else deadline.remaining()


class Pipeline:
    """Stages and what they give each other; see `gpfn.models.Model`.

    Args:
        stages: In any order. What they name is opened here; servers are not asked yet.
        outputs: Where each output comes from. By default they are those of the last stage,
            and then whatever passes by the stages.
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
        self._feeds: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Feed] = {}
        self._asked = asked_outputs(known, self._origins, self._last)
        self.stages: tuple[OpenStage, ...] = open_all(ordered, opener)
        self._branches = not in_line(ordered)
        self._inputs_shared = sum(INPUTS in stage.sources for stage in known) > 1
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
        names = {name: list(found) for name, found in specs.items()}
        try:
            ends = self._ends(names, self._passing(names))
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
        run = _Run(inputs, outputs, deadline)

        def compute(each: OpenStage) -> _Arrays:
            found = each(*self._call_of(each, run))
            if seen is not None:
                seen(each.name, found)
            return found

        if self._branches:
            run_branches(self.stages, compute, run.results, deadline)
        else:
            for each in self.stages:
                run.results[each.name] = compute(each)
        return self._answer(run)

    def begin_call(
        self, inputs: _Arrays, *, outputs: Sequence[str] = (), deadline: Deadline = NEVER
    ) -> dict[str, Array] | Pending[dict[str, Array]]:
        """Compute all but the wait for a server, where the last stage is one.

        Returns what is given, or what it will be taken from. Raises as a call does.
        """
        if self._branches:
            return self.run(inputs, outputs=outputs, deadline=deadline)
        run = _Run(inputs, outputs, deadline)
        *others, last = self.stages
        for each in others:
            run.results[each.name] = each(*self._call_of(each, run))
        begun = last.begin(*self._call_of(last, run))

        def answer(found: _Arrays) -> dict[str, Array]:
            run.results[last.name] = found
            return self._answer(run)

        if isinstance(begun, Pending):
            return begun.then(lambda finish: answer(finish()))
        return answer(begun)

    def close(self) -> None:
        """Close the models that were opened for it."""
        for each in self.stages:
            if each.owned:
                each.model.close()

    def _call_of(
        self, each: OpenStage, run: _Run
    ) -> tuple[_Arrays, Sequence[str], Deadline, float]:
        """Return what a stage is called with: arrays, names of outputs, and the time."""
        arrays, passing = self._given(each, run)
        run.passing[each.name] = passing
        asked = self._asked[each.name]
        if each.name == self._last and not asked and getattr(each.model, "goes_on", False):
            # who knows the names of what comes behind a server is the caller alone
            asked = tuple(name for name in run.wanted if name not in passing)
        given = {name: read_only(array, name) for name, array in arrays.items()}
        return given, asked, run.deadline, run.whole

    def _given(self, each: OpenStage, run: _Run) -> tuple[_Arrays, tuple[str, ...]]:
        """Return a stage's inputs, and the names of what passes by it."""
        takes, results = each.stage.takes, run.results
        if takes == INPUTS:
            return self._own(each, results[INPUTS], run.deadline), ()
        if isinstance(takes, str):
            given = results[takes]
            taken, passing = self._feed(each, tuple(given), run.deadline)
            return {name: given[output] for name, output in taken.items()}, passing
        return {name: value_of(each.name, origin, results) for name, origin in takes.items()}, ()

    def _own(self, each: OpenStage, inputs: _Arrays, deadline: Deadline) -> _Arrays:
        """Return those of the pipeline's inputs that a stage takes; all, if it alone takes any."""
        if not self._inputs_shared:
            return inputs
        if not self.waits:  # then nobody else has to be asked for it
            check_known(inputs, [spec.name for spec in self.inputs])
        specs = [spec.name for spec in inputs_of(each.model, deadline)]
        if not specs:
            return inputs
        for name in specs:
            if not any(find_name(given, [name]) for given in inputs):
                raise InvalidTensor(f"missing input of the stage {each.name}", field=name)
        return {name: array for name, array in inputs.items() if find_name(name, specs)}

    def _feed(self, each: OpenStage, gives: tuple[str, ...], deadline: Deadline = NEVER) -> Feed:
        """Return what a stage gets of the one that it takes all of; it is worked out once."""
        takes = tuple(spec.name for spec in inputs_of(each.model, deadline))
        key = (each.name, gives, takes)
        found = self._feeds.get(key)
        if found is None:
            try:
                found = feed(gives, takes)
            except SetupError as error:
                raise in_stage(error, each.name) from None
            if len(self._feeds) >= _MOST_FEEDS:
                self._feeds.clear()
            self._feeds[key] = found
        return found

    def _answer(self, run: _Run) -> dict[str, Array]:
        results, wanted = run.results, run.wanted
        ends = self._ends(results, run.passing)
        found = {name: value_of("outputs", origin, results) for name, origin in ends.items()}
        if not wanted:
            return found
        names = {name: find_name(name, found) for name in wanted}
        for name, match in names.items():
            if match is None:
                told = f"unknown output; the pipeline gives {', '.join(list(found)[:9])}"
                raise InvalidTensor(told, field=name)
        return {match: found[match] for match in names.values() if match}

    def _passing(self, names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """Return what passes by each stage, when stages give outputs of these names."""
        takes = {each.name: (each, each.stage.takes) for each in self.stages}
        return {
            name: self._feed(each, tuple(names[source])).passing
            for name, (each, source) in takes.items()
            if isinstance(source, str) and source != INPUTS
        }

    def _ends(
        self,
        names: Mapping[str, Sequence[str] | _Arrays],
        passing: Mapping[str, tuple[str, ...]],
    ) -> dict[str, Origin]:
        """Return where each output comes from, when stages give outputs of these names.

        Usually those are the last stage's, then what passes by stages, the last ones first.
        """
        if self._origins:
            return {name: named(origin, names) for name, origin in self._origins.items()}
        ends = {name: Origin(self._last, name) for name in names[self._last]}
        for each in reversed(self.stages):
            takes = str(each.stage.takes)
            for name in passing.get(each.name, ()):
                if name in ends:
                    told = f"{name} is given by {takes} and by {ends[name].stage}; say which in"
                    raise SetupError(f"{told} the pipeline's outputs", field="outputs")
                ends[name] = Origin(takes, name)
        return ends
