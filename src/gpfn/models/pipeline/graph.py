"""The order of stages: which needs which, checked before anything is opened.

An order is the same for the same file, always: stages stand where the file has them, behind
all that they need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpfn.errors import SetupError
from gpfn.models.pipeline.stage import INPUTS, MOST_STAGES, Origin, Stage

__all__ = ["check_graph", "in_line", "in_order", "with_sources"]


def with_sources(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages, those that say nothing of their inputs behind the one before them.

    Raises SetupError for none, too many, a name twice, or a stage that is not there.
    """
    if not stages:
        raise SetupError("a pipeline has at least one stage", field="stages")
    if len(stages) > MOST_STAGES:
        told = f"{len(stages)} stages; a pipeline has at most {MOST_STAGES}"
        raise SetupError(told, field="stages")
    before, found, names = INPUTS, list[Stage](), {stage.name for stage in stages}
    if len(names) < len(stages):
        twice = next(s.name for i, s in enumerate(stages) if s.name in {t.name for t in stages[:i]})
        raise SetupError("the name of two stages", field=f"stages.{twice}")
    for stage in stages:
        takes = before if stage.takes == "" else stage.takes
        _check_sources(stage._replace(takes=takes), names)
        found.append(stage._replace(takes=takes))
        before = stage.name
    return found


def check_graph(stages: Sequence[Stage], outputs: Mapping[str, Origin]) -> None:
    """Raise SetupError for stages or outputs that cannot be run, whatever they turn out to be."""
    known = with_sources(stages)
    in_order(known)
    if any(stage.name in (INPUTS, "outputs") for stage in known):
        raise SetupError("no name of a stage: it means the pipeline's own", field="stages")
    names = {stage.name for stage in known}
    for name, origin in outputs.items():
        if origin.stage not in names | {INPUTS}:
            raise SetupError(f"no stage is called {origin.stage!r:.99}", field=f"outputs.{name}")
    used = {source for stage in known for source in stage.sources}
    used |= {origin.stage for origin in outputs.values()} if outputs else {known[-1].name}
    for stage in known:
        if stage.name not in used:
            told = "nothing takes its outputs; name them in the pipeline's outputs, or leave it out"
            raise SetupError(told, field=f"stages.{stage.name}")


def _check_sources(stage: Stage, names: set[str]) -> None:
    """Raise SetupError when it takes what no stage gives."""
    for source in stage.sources:
        if source != INPUTS and source not in names:
            wrong = _input_from(stage, source)
            known = ", ".join([INPUTS, *sorted(names)][:9])
            raise SetupError(
                f"no stage is called {source!r:.99}; there are {known}",
                field=f"stages.{stage.name}.inputs{wrong}",
            )


def _input_from(stage: Stage, source: str) -> str:
    origins: Mapping[str, Origin] = {} if isinstance(stage.takes, str) else stage.takes
    return next((f".{name}" for name, origin in origins.items() if origin.stage == source), "")


def in_order(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages so that each stands behind all that it needs.

    Raises SetupError, which names them, when some need each other in a circle.
    """
    waiting, done, ordered = list(stages), {INPUTS}, list[Stage]()
    while waiting:
        ready = next((stage for stage in waiting if done.issuperset(stage.sources)), None)
        if ready is None:
            circle = _circle({stage.name: stage for stage in waiting})
            told = f"stages need each other in a circle: {' -> '.join(circle)}"
            raise SetupError(told, field=f"stages.{circle[0]}.inputs")
        waiting.remove(ready)
        ordered.append(ready)
        done.add(ready.name)
    return ordered


def _circle(stages: Mapping[str, Stage]) -> list[str]:
    """Return a circle among stages that all wait, in the way of the data; its first name twice."""
    name, seen = next(iter(stages)), list[str]()
    while name not in seen:
        seen.append(name)
        name = next(source for source in stages[name].sources if source in stages)
    return [name, *reversed(seen[seen.index(name) :])]


def in_line(stages: Sequence[Stage]) -> bool:
    """Say whether each stage needs the one before it and no other."""
    before = [INPUTS, *(stage.name for stage in stages)]
    return all(stage.sources == (one,) for stage, one in zip(stages, before, strict=False))
