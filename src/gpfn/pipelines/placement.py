"""Which processes a pipeline needs, and what its caller calls, for a way of placing the stages.

A stage placed as ``client`` is called by whoever calls the pipeline. One placed as ``server``
goes on to the next one by itself, and one placed as ``hybrid`` to the one that the caller names
in ``config``. So the stages fall into chains: of each the caller calls the first, and the
answer is that of the last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gpfn.errors import SetupError
from gpfn.http.address import parse_url
from gpfn.models.pipeline.graph import in_order, with_sources
from gpfn.models.pipeline.opened import CATALOGUE
from gpfn.models.pipeline.reading import PipelineFile
from gpfn.models.pipeline.stage import Origin, Stage
from gpfn.serving.onward import config_for, is_allowed
from gpfn.serving.settings import LOOPBACK

__all__ = ["Launch", "Placement", "place_stages"]

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_MOST_PORT = 65535
_LISTEN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
"""A host and a port. What begins with a dash would be an option, and one with @ has a user."""


class Launch(NamedTuple):
    """A stage's process; one without ``listen`` runs elsewhere, at the URL that is its target.

    ``needs`` are the stages that it calls and that are processes too, ``allow`` the hosts
    that callers may have it call, besides this machine.
    """

    name: str
    target: str
    listen: str = ""
    next_url: str = ""
    parallel: int = 0
    settings: Mapping[str, str] = {}
    needs: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where it is called."""
        return f"http://{_reached(self.listen)}" if self.listen else self.target

    def words(self) -> list[str]:
        """Return the command line of its process, behind ``gpfn``."""
        found = ["serve", "--model", f"{self.name}={self.target}", "--listen", self.listen]
        if self.next_url:
            found += ["--next", self.next_url]
        for host in (*LOOPBACK, *self.allow) if self.allow else ():
            found += ["--allow-next", host]
        if self.parallel:
            found += ["--parallel", str(self.parallel)]
        return found


class Placement(NamedTuple):
    """The processes in the order of their start, and the pipeline that the caller runs."""

    launches: tuple[Launch, ...]
    elsewhere: tuple[Launch, ...]
    """The stages that run already, as the file says."""
    entry: tuple[Stage, ...]
    outputs: Mapping[str, Origin]


def place_stages(file: PipelineFile, place: str | None = None) -> Placement:
    """Return the placement of all stages: each as it says itself, or all as ``place`` says.

    Raises SetupError, naming the stage and its field, for what cannot be placed so.
    """
    stages = with_sources(file.stages)
    if place is not None:
        stages = [stage._replace(place=place) for stage in stages]
    _check_addresses(stages)
    chains = _chains(stages, file.outputs)
    renamed = {chain[-1].name: chain[0].name for chain in chains}
    launches = {launch.name: launch for chain in chains for launch in _launches(chain)}
    last = [stage.name for stage in reversed(in_order(stages))]
    return Placement(
        tuple(launches[name] for name in last if launches[name].listen),
        tuple(launches[name] for name in last if not launches[name].listen),
        tuple(_entry(chain, renamed) for chain in chains),
        {name: _renamed(origin, renamed) for name, origin in file.outputs.items()},
    )


def _is_elsewhere(stage: Stage) -> bool:
    """Say whether it is a server that somebody else runs; a URL may also be a model's file."""
    return "://" in str(stage.target) and not stage.listen


def _check_addresses(stages: Sequence[Stage]) -> None:
    taken: dict[str, str] = {}
    for stage in stages:
        field = f"stages.{stage.name}.listen"
        if _is_elsewhere(stage):
            continue
        if not stage.listen:
            raise SetupError("HOST:PORT is needed for a stage that is a process", field=field)
        found = _LISTEN.fullmatch(stage.listen)
        if found is None:
            raise SetupError(f"expected HOST:PORT, got {stage.listen!r:.99}", field=field)
        if not 0 < int(found[2]) <= _MOST_PORT:
            raise SetupError(f"expected a port from 1 to {_MOST_PORT}", field=field)
        other = taken.setdefault(_reached(stage.listen), stage.name)
        if other != stage.name:
            raise SetupError(f"{stage.listen} is where {other} listens", field=field)


def _reached(listen: str) -> str:
    """Return where a server is reached that listens there: every address is also this machine's."""
    host, _, port = listen.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}:{port}"


def _chains(stages: Sequence[Stage], outputs: Mapping[str, Origin]) -> list[list[Stage]]:
    """Return the chains, in the order in which their last stages stand in the file."""
    takers = {
        stage.name: [other for other in stages if stage.name in other.sources] for stage in stages
    }
    chains, inside = [], set[str]()
    for stage in in_order(stages):
        if stage.name in inside:
            continue
        chain = [stage]
        while chain[-1].place != "client" and takers[chain[-1].name]:
            chain.append(_next(chain[-1], takers[chain[-1].name], outputs))
        inside.update(each.name for each in chain)
        chains.append(chain)
    names = [stage.name for stage in stages]
    return sorted(chains, key=lambda chain: names.index(chain[-1].name))


def _next(stage: Stage, takers: Sequence[Stage], outputs: Mapping[str, Origin]) -> Stage:
    """Return the stage that another one calls. Raises SetupError unless they are in a line."""
    taker = takers[0]
    if len(takers) > 1:
        names = " and ".join(each.name for each in takers)
        told = f"{names} take its outputs; only a stage of a line can be placed as {stage.place}"
        raise SetupError(told, field=f"stages.{stage.name}.place")
    if not isinstance(taker.takes, str):
        told = f"{stage.name}, placed as {stage.place}, gives on all that it gives"
        raise SetupError(f"{told}: only a caller can choose", field=f"stages.{taker.name}.inputs")
    for name, origin in outputs.items():
        if origin.stage == stage.name:
            told = f"{stage.name}, placed as {stage.place}, answers with what {taker.name} gives"
            raise SetupError(told, field=f"outputs.{name}")
    for each in (stage, taker):
        if each.config:
            told = f"cannot be sent where {stage.name} is placed as {stage.place}"
            raise SetupError(told, field=f"stages.{each.name}.config")
    return taker


def _launches(chain: Sequence[Stage]) -> list[Launch]:
    found: list[Launch] = []
    for stage in reversed(chain):
        behind = found[-1] if found else None
        hosts = _foreign(behind.url) if behind and stage.place == "hybrid" else ()
        found.append(
            Launch(
                stage.name,
                str(stage.target).removeprefix(CATALOGUE),
                stage.listen,
                next_url=behind.url if behind and stage.place == "server" else "",
                parallel=stage.parallel,
                settings=stage.settings,
                needs=(behind.name,) if behind and behind.listen else (),
                allow=hosts,
            )
        )
    return found


def _foreign(url: str) -> tuple[str, ...]:
    """Return the host of a URL that a server calls for nobody unless it is told to."""
    return () if is_allowed(url, LOOPBACK) else (parse_url(url).authority,)


def _entry(chain: Sequence[Stage], renamed: Mapping[str, str]) -> Stage:
    """Return what the caller calls for a chain: its first stage, bound as all of them are."""
    first, *others = chain
    urls = [_url(then) for one, then in zip(chain, others, strict=False) if one.place == "hybrid"]
    batches = [stage.max_batch for stage in chain if stage.max_batch]
    takes = first.takes
    if isinstance(takes, str):
        takes = renamed.get(takes, takes)
    else:
        takes = {name: _renamed(origin, renamed) for name, origin in takes.items()}
    return first._replace(
        target=_url(first),
        takes=takes,
        share=min(1.0, sum(stage.share for stage in chain)),
        least=sum(stage.least for stage in chain),
        max_batch=min(batches, default=0),
        config=config_for(urls) if others else first.config,
        settings={},
    )


def _url(stage: Stage) -> str:
    return f"http://{_reached(stage.listen)}" if stage.listen else str(stage.target)


def _renamed(origin: Origin, renamed: Mapping[str, str]) -> Origin:
    return origin._replace(stage=renamed.get(origin.stage, origin.stage))
