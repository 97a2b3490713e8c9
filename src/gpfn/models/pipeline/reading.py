"""A pipeline's file: ``NAME.pipeline.toml``; its JSON Schema is ``docs/pipeline.schema.json``.

Paths in it are seen from its folder. Every mistake names its key and the file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpfn.errors import SetupError
from gpfn.models.pipeline.opened import CATALOGUE
from gpfn.models.pipeline.stage import INPUTS, PLACES, Origin, Stage, parse_origin
from gpfn.models.toml_table import Table, read_toml

if TYPE_CHECKING:
    from gpfn.models.pipeline.executor import Pipeline

__all__ = ["SUFFIX", "PipelineFile", "open_pipeline", "parse_pipeline", "read_pipeline"]

SUFFIX = ".pipeline.toml"

_MOST_BYTES = 1 << 20
_OPENING: ContextVar[tuple[str, ...]] = ContextVar("gpfn.pipelines", default=())
"""The files that are being opened, each a stage of the one before it."""
_NAME = re.compile(r"(?!inputs$|outputs$)[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LISTEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}")
_VALUE = re.compile(r"[^\0]+", re.S)
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEVERAL = re.compile(r"(?P<path>.*?)(?P<rest>(\.py:[\w.]+)|(\?signature=.*)|(#sha256=.*))?", re.S)


class PipelineFile(NamedTuple):
    """What a file says: the stages in its order, and where the outputs come from if it says so."""

    name: str
    title: str
    stages: tuple[Stage, ...]
    outputs: Mapping[str, Origin]


def open_pipeline(path: str) -> Pipeline:
    """Open the pipeline of a file, with all its stages; `gpfn.models.open_model` calls this.

    Raises SetupError, naming the stage and the field, when it cannot work.
    """
    from gpfn.models.pipeline.executor import Pipeline

    place = os.path.realpath(path)
    opening = _OPENING.get()
    if place in opening:
        circle = " -> ".join(os.path.basename(each) for each in (*opening, place))
        raise SetupError(f"a pipeline that is its own stage: {circle}", field="target")
    read, token = read_pipeline(path), _OPENING.set((*opening, place))
    try:
        return Pipeline(read.stages, outputs=read.outputs, name=path)
    finally:
        _OPENING.reset(token)


def read_pipeline(path: str | os.PathLike[str]) -> PipelineFile:
    """Read and check a file; nothing is opened. Raises SetupError."""
    place = Path(path)
    if place.is_file() and place.stat().st_size > _MOST_BYTES:
        raise SetupError(f"a pipeline's file has at most {_MOST_BYTES} bytes", field=str(place))
    name = place.name.removesuffix(SUFFIX)
    return parse_pipeline(read_toml(place), name=name, folder=str(place.parent))


def parse_pipeline(table: Table, *, name: str, folder: str) -> PipelineFile:
    """Return the pipeline in a table, and check that it can be run. Raises SetupError."""
    from gpfn.models.pipeline.graph import check_graph

    if "stages" not in table:
        raise table.wrong("expected tables", "stages")
    stages = []
    for stage, each in table.tables("stages"):
        if not _NAME.fullmatch(stage):
            raise each.wrong("expected a name of letters, digits, '_' and '-', not inputs, outputs")
        stages.append(_stage(stage, each, folder))
    found = PipelineFile(name, table.text("title", ""), tuple(stages), _origins(table, "outputs"))
    table.end()
    check_graph(found.stages, found.outputs)
    return found


def _stage(name: str, table: Table, folder: str) -> Stage:
    found = Stage(
        name=name,
        target=_located(table.text("target"), folder),
        takes=_takes(table),
        share=table.number("share", 0.001, 1, 1.0),
        least=table.seconds("least", 0, 86400) or 0.0,
        max_batch=table.count("max_batch", 1, 65536) or 0,
        retries=table.count("retries", 0, 10) or 0,
        config=table.text("config", ""),
        listen=table.match("listen", _LISTEN, "HOST:PORT", ""),
        place=table.one_of("place", PLACES, PLACES[0]),
        parallel=table.count("parallel", 1, 1024) or 0,
        settings=_settings(table),
    )
    table.end()
    return found


def _takes(table: Table) -> str | Mapping[str, Origin]:
    """Return where inputs come from: a table of origins, or the name of one stage."""
    if table.is_table(INPUTS):
        return _origins(table, INPUTS)
    return table.match(INPUTS, re.compile(r"inputs|" + _NAME.pattern), "a stage's name", "")


def _origins(table: Table, key: str) -> Mapping[str, Origin]:
    origins = table.optional(key)
    if origins is None:
        return {}
    found = {}
    for name in origins:
        found[name] = parse_origin(origins.text(name), origins.place_of(name))
    return found


def _settings(table: Table) -> Mapping[str, str]:
    """Return a stage's environment; a table in it is written as JSON."""
    settings = table.optional("settings")
    if settings is None:
        return {}
    found = {}
    for name in settings:
        if not _SETTING.fullmatch(name):
            raise settings.wrong("expected the name of a variable", name)
        if settings.is_table(name):
            found[name] = _as_json(settings, name)
        else:
            found[name] = settings.match(name, _VALUE, "text without NUL")
    return found


def _as_json(settings: Table, name: str) -> str:
    try:
        return json.dumps(settings.table(name).rest(), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        told = "has what JSON cannot say: a date, nan, inf, or too deep a table"
        raise settings.wrong(told, name) from None


def _located(target: str, folder: str) -> str:
    """Return a target with the path of a file in it as it is seen from here."""
    if "://" in target or target.startswith(CATALOGUE):
        return target
    split = _SEVERAL.fullmatch(target)
    assert split is not None, "every text has a path"  # noqa: S101
    rest = split["rest"] or ""
    suffix = ".py" if rest.startswith(".py:") else ""
    place = os.path.join(folder, split["path"] + suffix)
    if os.path.exists(place) or "/" in target or suffix:
        return os.path.normpath(place) + rest.removeprefix(suffix)
    return target
