"""The form to try a model with, filled from its signature, beside what it has answered."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import prod
from typing import TYPE_CHECKING

from gpfn.serving.pages.markup import (
    PageSite,
    as_text,
    chip,
    icon,
    in_url,
    problem,
    shape_of,
)
from gpfn.serving.pages.outputs import answer_blocks, answer_figures
from gpfn.serving.pages.views import ShownModel, Trial

if TYPE_CHECKING:
    from gpfn.tensors.spec import TensorSpec

__all__ = ["MOST_CELLS", "cell_name", "filled", "numbers_of", "try_panel", "views_of"]

MOST_CELLS = 64
"""Numbers that have a cell each; more are text or a file."""
_MOST_TYPED = 512
"""Numbers that a text begins with."""
_IMAGES = "image/jpeg,image/png,image/webp,image/gif"
_STEP = 0.1


def numbers_of(spec: TensorSpec) -> int:
    """Return how many numbers one row of an input has."""
    return prod(1 if size is None else size for size in spec.shape or ())


def cell_name(input_: int, number: int) -> str:
    """Return what the cell of a number is called in the form."""
    return f"c{input_}.{number}"


def views_of(model: ShownModel) -> Sequence[str]:
    """Return the ways to try a model, the one that suits it best first."""
    known = [*model.inputs]
    plain = bool(known) and all(
        spec.dtype != "string" and spec.shape is not None and numbers_of(spec) for spec in known
    )
    small = plain and sum(map(numbers_of, known)) <= MOST_CELLS
    ways = (("cells", small), ("image", model.image), ("text", True))
    return [name for name, there in ways if there]


def try_panel(site: PageSite, model: ShownModel, trial: Trial) -> str:
    """Return the panel: the form, its answer, and the same as JSON and from a shell."""
    views = views_of(model)
    view = trial.view if trial.view in views else views[0]
    place = f"/models/{in_url(model.name)}"
    kind = "" if view == "cells" else ' enctype="multipart/form-data"'
    links = "".join(
        f'<a href="{place}?version={model.chosen.number}&amp;view={one}#try"'
        f"{' aria-current=true' if one == view else ''}>{one.capitalize()}</a>"
        for one in views
    )
    switch = f'<div class="row"><span class="seg">{links}</span></div>' if len(views) > 1 else ""
    fields = {"cells": _cells, "image": _image, "text": _text}[view](model, trial)
    if trial.answered is not None:
        blocks = f'<div class="codes">{answer_blocks(site, model, trial, view)}</div>'
    else:
        blocks = ""
    return (
        '<section class="panel" aria-labelledby="try"><div class="head"><h2 id="try">Try it</h2>'
        f'<span class="small muted">version {model.chosen.number}</span>{switch}</div>'
        f'<div class="try"><form class="stack tight" method="post" id="trying"{kind} data-swap '
        f'data-wait="Predicting" action="{place}/try?version={model.chosen.number}&amp;view={view}'
        f'#answer">{fields}<div class="row"><button class="btn main">{icon("play")}<span>Predict'
        '</span></button><button class="btn quiet js" type="button" data-stop hidden>Cancel'
        '</button><span class="hint js"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span></div></form>'
        f'<div class="stack tight" id="answer">{_answer(model, trial)}</div>{blocks}</div>'
        "</section>"
    )


def _answer(model: ShownModel, trial: Trial) -> str:
    if trial.error is not None:
        named = {**trial.error}
        if _control(trial):
            named.pop("field", None)  # the control itself is marked
        return problem(named)
    if trial.answered is None:
        return '<p class="muted small">The answer will stand here.</p>'
    return answer_figures(model, trial.answered)


def _control(trial: Trial) -> str:
    """Return the name of the control that an error is about, or nothing."""
    field = str((trial.error or {}).get("field") or "")
    for name in ("text", "file", "image"):
        if field == name or field.startswith((f"{name}[", f"{name}.")):
            return name
    return field if field.startswith("c") and field[1:2].isdigit() else ""


def _marks(trial: Trial, name: str) -> str:
    if _control(trial) != name:
        return ""
    return ' aria-invalid="true" aria-describedby="problem" autofocus'


def _head(spec: TensorSpec) -> str:
    return (
        f'<span class="label mono cut">{as_text(spec.name)}</span>{chip(spec.dtype, "mono")}'
        f"{chip(shape_of(spec.shape), 'mono')}"
    )


def _cells(model: ShownModel, trial: Trial) -> str:
    groups = []
    for at, spec in enumerate(model.inputs):
        count, cells = numbers_of(spec), ""
        mode = "decimal" if spec.dtype.startswith("float") else "numeric"
        for index in range(count):
            name = cell_name(at, index)
            value = trial.typed.get(name, "0")
            cells += (
                f'<span class="cell"><span aria-hidden="true">{index + 1}</span>'
                f'<input class="num-in" name="{name}" inputmode="{mode}" maxlength="40" '
                f'autocomplete="off" value="{escape(value)}" '
                f'aria-label="{as_text(spec.name)} {index + 1} of {count}"{_marks(trial, name)}>'
                "</span>"
            )
        groups.append(
            f'<fieldset class="stack tight"><legend class="row">{_head(spec)}</legend>'
            f'<div class="cells">{cells}</div></fieldset>'
        )
    place = f"/models/{in_url(model.name)}?version={model.chosen.number}&amp;view=cells"
    fill = "".join(
        f'<a class="btn quiet tiny" href="{place}&amp;fill={word}#try">{word}</a>'
        for word in ("zeros", "steps")
    )
    return (
        f'{"".join(groups)}<div class="row small"><span class="muted">Fill with</span>{fill}</div>'
    )


def filled(model: ShownModel, word: str) -> dict[str, str]:
    """Return what cells hold when they are filled: nought, or one step more each."""
    typed = {}
    for at, spec in enumerate(model.inputs):
        for index in range(numbers_of(spec)):
            step = f"{_STEP * (index + 1):.4g}" if spec.dtype.startswith("float") else "1"
            typed[cell_name(at, index)] = step if word == "steps" else "0"
    return typed


def _text(model: ShownModel, trial: Trial) -> str:
    heads = "".join(f'<div class="row">{_head(spec)}</div>' for spec in model.inputs[:8])
    typed = trial.typed.get("text")
    value = _sample(model) if typed is None else typed
    lone = len(model.inputs) == 1
    how = "nested lists, one row or more" if lone else "an object: nested lists by input name"
    files = "a .json file" + (" or a .npy file" if lone else "")
    return (
        f'{heads}<div class="field"><label for="text">JSON</label><textarea id="text" name="text" '
        f'rows="9" spellcheck="false" aria-describedby="text-hint"{_marks(trial, "text")}>\n'
        f'{escape(value)}</textarea><span class="hint" id="text-hint">{how}</span></div>'
        f'<div class="field"><label for="file">or {files}</label>'
        f'<input type="file" id="file" name="file"{_marks(trial, "file")}></div>'
    )


def _sample(model: ShownModel) -> str:
    """Return noughts in the shape that the model takes, where that is short."""
    if sum(map(numbers_of, model.inputs)) > _MOST_TYPED:
        return ""
    texts = {spec.name: _nested(spec) for spec in model.inputs}
    if len(texts) == 1:
        return next(iter(texts.values()))
    import orjson

    return "{" + ",\n ".join(f"{orjson.dumps(k).decode()}: {v}" for k, v in texts.items()) + "}"


def _nested(spec: TensorSpec) -> str:
    text = '""' if spec.dtype == "string" else "false" if spec.dtype == "bool" else "0"
    for size in reversed(spec.shape or ()):
        text = "[" + ", ".join([text] * (1 if size is None else size)) + "]"
    return text


def _image(model: ShownModel, trial: Trial) -> str:
    heads = "".join(f'<div class="row">{_head(spec)}</div>' for spec in model.inputs[:1])
    last = f'<p class="small muted" id="last">{as_text(trial.file)}</p>' if trial.file else ""
    return (
        f'{heads}<div class="drop" data-image><img class="shot" alt="" hidden>{last}'
        f'<span class="btn pick">{icon("up")}<span>Choose an image…</span><input type="file" '
        f'name="image" accept="{_IMAGES}" required aria-label="Image to send"'
        f'{_marks(trial, "image")}></span><span class="small"><span class="js">or drop or paste '
        "one here: </span>JPEG, PNG, WebP, GIF</span></div>"
    )
