"""All files of a function's folder: texts by their names, and the files that are copied."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from gpfn.scaffold.kinds import KINDS, FunctionKind
from gpfn.scaffold.samples import SampleEvent
from gpfn.scaffold.source import source_size
from gpfn.scaffold.spelling import listed, literal, plain, signature_lines, table_rows, yaml_name

if TYPE_CHECKING:
    from gpfn.scaffold.source import FoundModel

__all__ = ["PLATFORMS", "contents", "template"]

PLATFORMS = ("fn", "openwhisk", "http")
"""What a folder can be written for; func.py is the same for all."""

_RUNTIME = "litert"
"""What an image has for a model that needs no library."""
_MEMORY = {"litert": 128, "onnx": 256, "tensorflow": 512}
_MEMORY_ELSE = 256
_STEP, _MIB = 64, 1 << 20


def contents(
    name: str, source: FoundModel, kind: str, platforms: Sequence[str] = PLATFORMS
) -> dict[str, str | Path]:
    """Return the files of a function's folder by their paths: a text, or what is copied.

    The model is called once or a few times, for the sample. Raises SetupError when it
    answers none.
    """
    row = KINDS[kind]
    sample = row.sample(source)
    shared = _shared(name, source, row)
    code = {**shared, **row.parts(source), "homes": template("homes").template.rstrip()}
    files: dict[str, str | Path] = {
        "func.py": template(kind).substitute(code),
        "func.yaml": template("func.yaml").substitute(shared, name=yaml_name(name), source=name),
        "requirements.txt": _requirements(source, row),
        "sample.json": _event(name, sample),
        "test_func.py": template("test_func").substitute(wrong=sample.wrong),
        "README.md": _readme(source, row, shared, platforms),
    }
    if "fn" in platforms and not source.packages:
        files["Dockerfile"] = _dockerfile(name, source)
    return {**files, **row.files(source), **source.files}


@cache
def template(name: str) -> Template:
    """Return a text of ``templates`` by its name without ``.txt``."""
    folder = Path(__file__).with_name("templates")
    return Template((folder / f"{name}.txt").read_text(encoding="utf-8"))


def _shared(name: str, source: FoundModel, row: FunctionKind) -> dict[str, str]:
    """Return what every text may have."""
    return {
        "name": name,
        "quoted": literal(name),
        "model": literal(source.uri),
        "model_told": plain(source.uri),
        "takes": signature_lines(source.inputs),
        "gives": signature_lines(source.outputs) or "    what the function returns",
        "memory": str(_memory(source, row)),
    }


def _memory(source: FoundModel, row: FunctionKind) -> int:
    """Return MB: the library's, the kind's, and twice the model's size."""
    model = ceil(2 * source_size(source) / _MIB / _STEP) * _STEP
    base = _MEMORY.get(source.backend.runtime, _MEMORY_ELSE) + row.memory
    return base + (model if model > _STEP else 0)


def _requirements(source: FoundModel, row: FunctionKind) -> str:
    extras = sorted({*row.extras, *([source.backend.extra] if source.backend.extra else [])})
    wanted = f"gpfn[{','.join(extras)}]" if extras else "gpfn"
    return "".join(f"{line}\n" for line in ("fdk>=0.1.110", f"{wanted}>=0.1", *source.packages))


def _event(name: str, sample: SampleEvent) -> str:
    """Return a structured event, its data on one line of their own."""
    event = {
        "specversion": "1.0",
        "id": f"{name}-1",
        "source": "https://example.com/samples",
        "type": f"com.example.{name}",
        "time": "2026-11-01T00:00:00Z",
        "datacontenttype": "application/json",
    }
    data = json.dumps(sample.data, ensure_ascii=False)
    return f'{json.dumps(event, indent=2)[:-2]},\n  "data": {data}\n}}\n'


def _readme(
    source: FoundModel, row: FunctionKind, shared: Mapping[str, str], platforms: Sequence[str]
) -> str:
    rows = [*table_rows(source.inputs, "taken"), *table_rows(source.outputs, "given")]
    tops = sorted({path.partition("/")[0] for path in (*row.files(source), *source.files)})
    copied = listed(f"| `{plain(top)}` | {_role(top, source)} |" for top in tops)
    text = template("README").substitute(
        shared,
        summary=row.summary,
        table="\n".join(rows),
        copied="\n".join(copied),
        platforms="",
    )
    sections = (
        template(each).substitute(shared, runtime_image=_runtime_image(source, row))
        for each in platforms
    )
    return text.rstrip() + "\n" + "".join(sections)


def _role(top: str, source: FoundModel) -> str:
    if source.uri.partition("?")[0].rpartition(":")[0] == top or source.uri.startswith(top):
        return "the model"
    roles = {source.labels: "the names of its classes", "model.toml": "what the model is"}
    return roles.get(top, "a part of the model")


def _runtime(source: FoundModel) -> str:
    from gpfn.models.backends import runtimes

    return source.backend.runtime if source.backend.runtime in runtimes() else _RUNTIME


def _runtime_image(source: FoundModel, row: FunctionKind) -> str:
    """Return the command that makes what the Dockerfile stands on."""
    if source.packages:
        return "# fn deploy installs requirements.txt"
    more = "".join(f" --extra {extra}" for extra in row.extras)
    runtime = "" if _runtime(source) == _RUNTIME else f" --runtime {_runtime(source)}"
    return f"gpfn build --platform fn{runtime}{more}    # once: what the Dockerfile stands on"


def _dockerfile(name: str, source: FoundModel) -> str:
    from gpfn.build.recipe import Recipe, default_tag

    runtime = _runtime(source)
    on = default_tag(None, "fn", runtime)
    recipe = Recipe("fn", function=name, runtime=runtime, name=name, on=on, given=".")
    return recipe.dockerfile()
