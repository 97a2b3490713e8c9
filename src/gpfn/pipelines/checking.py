"""What each stage gives, compared with what the next one takes, before anything is computed.

Stages that are files are opened, servers are asked for their metadata, all of them at once.
Which output becomes which input is the executor's rule (`gpfn.models.pipeline.feeding`). What
nobody tells is no mistake: many functions declare nothing, and the metadata of some servers
are wrong, so that `gpfn.models.graphpipe` passes them over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import GpfnError, SetupError
from gpfn.models.pipeline.feeding import feed
from gpfn.models.pipeline.graph import in_order, with_sources
from gpfn.models.pipeline.opened import open_target
from gpfn.models.pipeline.stage import INPUTS, Origin
from gpfn.models.signature import find_name
from gpfn.pipelines.drawing import shown_target
from gpfn.tensors.shapes import shape_text, spec_text

if TYPE_CHECKING:
    from gpfn.models.model import Model
    from gpfn.models.pipeline.reading import PipelineFile
    from gpfn.models.pipeline.stage import Stage
    from gpfn.tensors.spec import TensorSpec

__all__ = [
    "OK",
    "UNKNOWN",
    "WRONG",
    "CheckedLink",
    "CheckedPipeline",
    "CheckedStage",
    "check_pipeline",
]

OK, WRONG, UNKNOWN = "ok", "wrong", "not told"
"""The verdicts."""

_AT_ONCE = 8
_OUTPUTS = "outputs"


class CheckedStage(NamedTuple):
    """A stage: whether it can be opened or reached, and what it tells of itself."""

    name: str
    target: str
    verdict: str
    told: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    lenient: bool = False
    """Whether it may give more than it tells: it computes any tensor of its graph by name."""


class CheckedLink(NamedTuple):
    """What goes from an output to an input; a name that nobody tells is left out of either."""

    source: str
    taker: str
    verdict: str
    told: str = ""


class CheckedPipeline(NamedTuple):
    """All that was found, in the order of the stages."""

    name: str
    stages: tuple[CheckedStage, ...]
    links: tuple[CheckedLink, ...]

    def having(self, verdict: str) -> int:
        """Return how many stages and links have a verdict."""
        verdicts = [each.verdict for each in self.stages] + [each.verdict for each in self.links]
        return verdicts.count(verdict)


def check_pipeline(
    read: PipelineFile, *, opener: Callable[[Stage], Model] = open_target
) -> CheckedPipeline:
    """Open or ask every stage of a file, and compare what they tell. Nothing is computed."""
    known = in_order(with_sources(read.stages))
    found = {each.name: each for each in _asked(known, opener)}
    links = [link for stage in known for link in _into(stage, found)]
    links += [*_shared(known, found)]
    last = with_sources(read.stages)[-1].name
    ends = _named_ends(read.outputs, found) if read.outputs else _usual_ends(known, last, found)
    return CheckedPipeline(read.name, tuple(found.values()), (*links, *ends))


def _asked(stages: Sequence[Stage], opener: Callable[[Stage], Model]) -> list[CheckedStage]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:  # each may wait for a server that is not there
        return [*pool.map(lambda stage: _ask(stage, opener), stages)]


def _ask(stage: Stage, opener: Callable[[Stage], Model]) -> CheckedStage:
    target = shown_target(stage)
    try:
        model = opener(stage)
        try:
            inputs, outputs, backend = model.inputs, model.outputs, model.backend
        finally:
            model.close()
    except Exception as error:  # noqa: BLE001 - a function's file may raise anything
        kind = "" if isinstance(error, GpfnError) else f"{type(error).__name__}: "
        return CheckedStage(stage.name, target, WRONG, f"{kind}{error}")
    silent = ["inputs"] * (not inputs) + ["outputs"] * (not outputs)
    told = f"tells no {' and no '.join(silent)}" if silent else ""
    verdict = UNKNOWN if silent else OK
    lenient = backend in ("graphpipe", "tensorflow")
    return CheckedStage(stage.name, target, verdict, told, inputs, outputs, lenient)


def _into(stage: Stage, found: Mapping[str, CheckedStage]) -> Iterator[CheckedLink]:
    """Compare what a stage takes with what it gets."""
    taker = found[stage.name]
    if not isinstance(stage.takes, str):
        yield from _by_links(stage, stage.takes, found)
    elif stage.takes == INPUTS:
        for spec in taker.inputs:
            yield CheckedLink(f"{INPUTS}.{spec.name}", stage.name, OK, spec_text(spec))
        if not taker.inputs:
            yield CheckedLink(INPUTS, stage.name, UNKNOWN)
    else:
        yield from _all_of(stage, found[stage.takes], taker)


def _all_of(stage: Stage, giver: CheckedStage, taker: CheckedStage) -> Iterator[CheckedLink]:
    if not giver.outputs or not taker.inputs:
        yield CheckedLink(giver.name, taker.name, UNKNOWN)
        return
    gives, takes = _by_name(giver.outputs), _by_name(taker.inputs)
    try:
        taken = feed([*gives], [*takes]).taken
    except SetupError as error:
        yield CheckedLink(giver.name, taker.name, WRONG, error.detail)
        return
    for name, output in taken.items():
        verdict, told = _compared(gives[output], takes[name], sliced=bool(stage.max_batch))
        yield CheckedLink(f"{giver.name}.{output}", f"{taker.name}.{name}", verdict, told)


def _by_links(
    stage: Stage, takes: Mapping[str, Origin], found: Mapping[str, CheckedStage]
) -> Iterator[CheckedLink]:
    taker, specs = found[stage.name], _by_name(found[stage.name].inputs)
    fed = set()
    for name, origin in takes.items():
        match = find_name(name, specs)
        fed.add(match)
        given, verdict, told = _given(origin, found)
        if specs and match is None:
            verdict, told = WRONG, f"{stage.name} takes no input {name}, but {_listed(specs)}"
        elif given is not None and match is not None:
            verdict, told = _compared(given, specs[match], sliced=bool(stage.max_batch))
        elif origin.stage == INPUTS and match is not None:
            verdict, told = OK, spec_text(specs[match])
        yield CheckedLink(str(origin), f"{stage.name}.{name}", verdict, told)
    missing = [name for name in specs if name not in fed]
    if missing and taker.verdict != WRONG:
        told = f"nothing is given to {', '.join(missing[:8])}"
        yield CheckedLink("", stage.name, UNKNOWN if taker.lenient else WRONG, told)


def _given(origin: Origin, found: Mapping[str, CheckedStage]) -> tuple[TensorSpec | None, str, str]:
    """Return the output that is meant, or None with the verdict and the reason."""
    if origin.stage == INPUTS:
        return None, UNKNOWN, ""
    giver = found[origin.stage]
    specs = _by_name(giver.outputs)
    if not specs:
        return None, UNKNOWN, ""
    if not origin.output and len(specs) == 1:
        return next(iter(specs.values())), OK, ""
    if not origin.output:
        return None, WRONG, f"{giver.name} gives {_listed(specs)}: say which"
    match = find_name(origin.output, specs)
    if match is not None:
        return specs[match], OK, ""
    told = f"{giver.name} tells no output {origin.output}, but {_listed(specs)}"
    return None, UNKNOWN if giver.lenient else WRONG, told


def _shared(stages: Sequence[Stage], found: Mapping[str, CheckedStage]) -> Iterator[CheckedLink]:
    """Find inputs of the pipeline that two stages take as what cannot be the same array."""
    first: dict[str, tuple[str, TensorSpec]] = {}
    for stage in stages:
        for name, spec in _own(stage, found[stage.name]):
            other, before = first.setdefault(name, (stage.name, spec))
            verdicts = {_compared(*pair)[0] for pair in ((spec, before), (before, spec))}
            if verdicts == {WRONG}:
                told = f"{other} takes it as {spec_text(before)}, {stage.name} as {spec_text(spec)}"
                yield CheckedLink(f"{INPUTS}.{name}", stage.name, WRONG, told)


def _own(stage: Stage, taker: CheckedStage) -> Iterator[tuple[str, TensorSpec]]:
    """Give what a stage takes of the pipeline's inputs, by the name that it has there."""
    specs = _by_name(taker.inputs)
    if stage.takes == INPUTS:
        yield from specs.items()
    elif not isinstance(stage.takes, str):
        for name, origin in stage.takes.items():
            match = find_name(name, specs)
            if origin.stage == INPUTS and match is not None:
                yield origin.output or match, specs[match]


def _named_ends(
    outputs: Mapping[str, Origin], found: Mapping[str, CheckedStage]
) -> Iterator[CheckedLink]:
    for name, origin in outputs.items():
        given, verdict, told = _given(origin, found)
        shown = spec_text(given) if given is not None else told
        yield CheckedLink(str(origin), f"{_OUTPUTS}.{name}", verdict, shown)


def _usual_ends(
    stages: Sequence[Stage], last: str, found: Mapping[str, CheckedStage]
) -> Iterator[CheckedLink]:
    """Give what is answered when the file does not say: the last outputs, and what passes by."""
    ends: dict[str, str] = {}
    for spec in found[last].outputs:
        ends[spec.name] = last
        yield CheckedLink(f"{last}.{spec.name}", f"{_OUTPUTS}.{spec.name}", OK, spec_text(spec))
    for giver, spec in _passing(stages, found):
        verdict, told = OK, f"{spec_text(spec)}, passes by"
        if spec.name in ends:
            told = f"{ends[spec.name]} gives a {spec.name} too: say which in the outputs"
            verdict = WRONG
        ends.setdefault(spec.name, giver)
        yield CheckedLink(f"{giver}.{spec.name}", f"{_OUTPUTS}.{spec.name}", verdict, told)
    if not found[last].outputs:
        yield CheckedLink(last, _OUTPUTS, UNKNOWN)


def _passing(
    stages: Sequence[Stage], found: Mapping[str, CheckedStage]
) -> Iterator[tuple[str, TensorSpec]]:
    """Give the outputs that the stage behind does not take, the last stages first."""
    for stage in reversed(stages):
        if stage.takes == INPUTS or not isinstance(stage.takes, str):
            continue
        giver = found[stage.takes]
        gives, takes = _by_name(giver.outputs), _by_name(found[stage.name].inputs)
        try:
            passing = feed([*gives], [*takes]).passing
        except SetupError:
            passing = ()  # told where it is taken
        for name in passing:
            yield giver.name, gives[name]


def _compared(given: TensorSpec, taken: TensorSpec, *, sliced: bool = False) -> tuple[str, str]:
    """Return a verdict and why; ``sliced`` rows may be any number."""
    if not _fits(given.dtype, taken.dtype):
        return WRONG, f"gives {given.dtype}, takes {taken.dtype}"
    if given.shape is None or taken.shape is None:
        return OK, spec_text(given)
    shapes = f"gives {shape_text(given.shape)}, takes {shape_text(taken.shape)}"
    if len(given.shape) != len(taken.shape):
        return WRONG, f"{shapes}: {len(given.shape)} dimensions for {len(taken.shape)}"
    pairs = [*zip(given.shape, taken.shape, strict=True)][1 if sliced else 0 :]
    if any(one != other for one, other in pairs if one is not None and other is not None):
        return WRONG, shapes
    return OK, spec_text(given)


def _fits(given: str, taken: str) -> bool:
    """Say whether every value of one dtype is one of another, as `gpfn.tensors.cast` has it."""
    if given == taken or (given, taken) == ("bool", "uint8"):
        return True
    if {given, taken} & {"bool", "string"}:
        return False
    import numpy as np

    return bool(np.can_cast(np.dtype(given), np.dtype(taken), "safe"))


def _by_name(specs: Sequence[TensorSpec]) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in specs}


def _listed(specs: Mapping[str, TensorSpec]) -> str:
    more = f" and {len(specs) - 8} more" if len(specs) > 8 else ""
    return ", ".join([*specs][:8]) + more
