"""What a pipeline consists of: its stages, and where each of their inputs comes from.

All of it is data; the same is written as TOML (`gpfn.models.pipeline.reading`) and in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.models.model import Model

__all__ = ["INPUTS", "MOST_STAGES", "PLACES", "Origin", "Stage", "parse_origin"]

INPUTS = "inputs"
"""What stands for the pipeline's own inputs where a stage's name stands otherwise."""
MOST_STAGES = 256
PLACES = ("client", "server", "hybrid")
"""Who calls the next stage: who called this one; this one; or this one, as it is told to."""


class Origin(NamedTuple):
    """Where a value comes from: a stage, and which of its outputs; "" is the only one."""

    stage: str
    output: str = ""

    def __str__(self) -> str:
        return f"{self.stage}.{self.output}" if self.output else self.stage


class Stage(NamedTuple):
    """One step of a pipeline.

    ``target`` is what ``open_model`` opens, an open model, or a plain function of arrays.
    ``takes`` is where its inputs come from: an origin for each by its name; or the name of one
    stage, all of whose outputs are given to it, by name or else in order; empty for the stage
    before it. A stage gets at most the ``share`` of the time that the whole has, and is not
    begun with less than ``least`` seconds left. More rows than ``max_batch`` are given to it in
    slices: its rows have to be independent. It is asked up to ``retries`` times more when it
    cannot be reached, never when it may have computed. ``config`` is sent along to a GraphPipe
    server. A model that was open already is closed with the pipeline if it is ``owned``.

    The rest is for stages that are started as processes (``gpfn pipeline up``): ``listen``
    is where, HOST:PORT; ``place`` who calls the stage behind it; ``parallel`` how many calls it
    computes at once; ``settings`` its environment, which a function's file in this process has
    while it is opened.
    """

    name: str
    target: str | Model | Callable[..., Any]
    takes: str | Mapping[str, Origin] = ""
    share: float = 1.0
    least: float = 0.0
    max_batch: int = 0
    retries: int = 0
    config: str = ""
    listen: str = ""
    place: str = "client"
    parallel: int = 0
    settings: Mapping[str, str] = {}
    owned: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The stages that its inputs come from, each once, in order."""
        if isinstance(self.takes, str):
            return (self.takes,)
        return tuple(dict.fromkeys(origin.stage for origin in self.takes.values()))


def parse_origin(text: str, field: str) -> Origin:
    """Return the origin that ``STAGE.OUTPUT`` or ``STAGE`` spells. Raises SetupError.

    >>> parse_origin("prepare.image", "")
    Origin(stage='prepare', output='image')
    """
    stage, dot, output = text.partition(".")
    if not stage or (dot and not output):
        raise SetupError(f"expected STAGE.OUTPUT or STAGE, got {text!r:.99}", field=field)
    return Origin(stage, output)
