"""What a model has answered: classes as bars, values as points, JSON, and the line for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.serving.pages import plots
from gpfn.serving.pages.markup import (
    PageSite,
    as_text,
    chip,
    code,
    in_url,
    milliseconds,
    number,
    shape_of,
)
from gpfn.serving.pages.views import ShownModel, Trial, TrialAnswer

if TYPE_CHECKING:
    import numpy as np

__all__ = ["answer_blocks", "answer_figures", "class_bars", "command"]

_MOST_SHOWN = 256
"""Numbers of an output that the JSON on the page has; the rest is counted."""
_MOST_SENT = 512
"""Numbers that a command has in it."""
_CLASSES = 6
_MOST_OUTPUTS = 8
_MOST_CLASSES = 100_000
_NEAR_ONE = 0.02


def answer_figures(model: ShownModel, answered: TrialAnswer) -> str:
    """Return what stands beside the form."""
    took = (
        '<div class="row"><h3 class="grow">Answer</h3><span class="small muted" role="status">'
        f'<span class="hide">Answered in </span>{milliseconds(answered.seconds)}</span></div>'
    )
    outputs = [*answered.outputs.items()][:_MOST_OUTPUTS]
    drawn = "".join(
        _output(model, answered.inputs, name, array, at) for at, (name, array) in enumerate(outputs)
    )
    left = len(answered.outputs) - len(outputs)
    more = f'<p class="small muted">{left} more outputs are in the JSON.</p>' if left else ""
    return f"{took}{drawn}{more}"


def _output(
    model: ShownModel,
    inputs: Mapping[str, np.ndarray],
    name: str,
    array: np.ndarray,
    at: int,
) -> str:
    head = (
        f'<div class="row"><span class="label mono cut">{as_text(name)}</span>'
        f"{chip(_dtype(array), 'mono')}{chip(shape_of(array.shape), 'mono')}</div>"
    )
    flat = array.reshape(-1)
    if array.dtype.kind not in "fiub" or not array.size:
        texts = ", ".join(as_text(_plain(value)) for value in flat[:20].tolist())
        return f'{head}<p class="cut">{texts}</p>'
    classes = array.shape[-1] if array.ndim else 1
    if _are_classes(model, array):
        return f"{head}{class_bars(model.labels, flat[:classes].astype(float).tolist())}"
    if array.size == 1:
        return f'{head}<p class="figure">{flat[0]:.6g}</p>'
    same = next((one for one in inputs.values() if one.shape == array.shape), None)
    given = same.reshape(-1).astype(float).tolist() if same is not None else []
    drawn = plots.values(given, flat.astype(float).tolist(), name, at)
    legend = ""
    if drawn and given:
        legend = (
            '<ul class="legend"><li><svg aria-hidden="true"><circle class="f-actual" cx="6" '
            'cy="6" r="4"/></svg>input</li><li><svg aria-hidden="true"><circle '
            'class="f-forecast" cx="6" cy="6" r="3"/></svg>answer</li></ul>'
        )
    return f"{head}<figure>{legend}{drawn}</figure>" if drawn else head


def _are_classes(model: ShownModel, array: np.ndarray) -> bool:
    """Say whether an output's last axis are classes: as many as labels, or shares of one."""
    count = array.shape[-1] if array.ndim else 0
    if not 1 < count <= _MOST_CLASSES:
        return False
    if model.labels:
        return count == len(model.labels)
    first = array.reshape(-1)[:count].astype(float)
    shares = array.dtype.kind == "f" and bool((first >= 0).all())
    return shares and abs(float(first.sum()) - 1) < _NEAR_ONE


def class_bars(labels: Sequence[str], values: Sequence[float]) -> str:
    """Return the highest of some classes as a table of bars; a class without a label is a number.

    There is at least one value.
    """
    order = sorted(range(len(values)), key=lambda at: -values[at])[:_CLASSES]
    most = max(values[order[0]], 1e-9)
    shares = all(0 <= value <= 1 for value in values)
    rows = ""
    for place, at in enumerate(order):
        value = values[at]
        label = as_text(labels[at]) if at < len(labels) else f"class {at}"
        told = f"{100 * value:.1f} %" if shares else f"{value:.6g}"
        bar = plots.bar(max(0.0, value) / most, first=not place)
        rows += (
            f'<tr><th scope="row">{label}</th><td class="bar">{bar}</td>'
            f'<td class="r">{told}</td></tr>'
        )
    some = f"The highest of {number(len(values))}. " if len(values) > len(order) else ""
    return (
        '<table class="plain bars"><thead class="hide"><tr><th scope="col">Class</th>'
        '<th scope="col">Bar</th><th scope="col">Share</th></tr></thead>'
        f'<tbody>{rows}</tbody></table><p class="small muted">{some}Bars are to the scale of the '
        "first.</p>"
    )


def answer_blocks(site: PageSite, model: ShownModel, trial: Trial, view: str) -> str:
    """Return the answer as JSON, and the command that gets it, both to be copied."""
    answered = trial.answered
    if answered is None:
        return ""
    blocks = code("Answer", "answer", _json(model, answered.outputs))
    image = trial.file if view == "image" else ""
    line = command(site, model, answered.inputs, image)
    if line:
        return blocks + code("The same from a shell", "command", line)
    return blocks + (
        f'<p class="small muted">These are too many numbers for a command: send them to '
        f"<code>{as_text(_address(site, model))}</code> as a file.</p>"
    )


def command(
    site: PageSite, model: ShownModel, inputs: Mapping[str, np.ndarray], image: str = ""
) -> str:
    """Return what a shell runs to ask the same: complete, and without a secret."""
    token = ' \\\n  -H "authorization: Bearer $TOKEN"' if site.token else ""
    if image:
        file = shlex.quote(f"image=@{_file_name(image)}")
        name = shlex.quote(f"model={model.name}")
        return f"curl -sS {shlex.quote(site.base + '/image')}{token} \\\n  -F {file} -F {name}"
    if sum(array.size for array in inputs.values()) > _MOST_SENT:
        return ""
    import orjson

    body = orjson.dumps({"inputs": [_tensor(*item) for item in inputs.items()]}).decode()
    body = shlex.quote(body.replace("\0", ""))
    return (
        f"curl -sS {shlex.quote(_address(site, model))}{token} \\\n"
        f"  -H 'content-type: application/json' \\\n  -d {body}"
    )


def _address(site: PageSite, model: ShownModel) -> str:
    place = f"{site.base}/v2/models/{in_url(model.name)}"
    if model.chosen.number != model.latest:
        place += f"/versions/{model.chosen.number}"
    return f"{place}/infer"


def _file_name(name: str) -> str:
    """Return a file's name without what curl reads as something else: type and quotes."""
    plain = "".join(c for c in name if c.isprintable() and c not in ';,"\\/')
    return plain[-100:] or "image"


def _json(model: ShownModel, outputs: Mapping[str, np.ndarray]) -> str:
    """Return the reply of v2, laid out to be read; long data are cut, and that is said."""
    import orjson

    parts = []
    for name, array in outputs.items():
        cut = array.size - _MOST_SHOWN
        tensor = _tensor(name, array, _MOST_SHOWN)
        data = orjson.dumps(tensor.pop("data")).decode()[:-1].replace(",", ", ")
        head = orjson.dumps(tensor).decode()[:-1]
        more = f", … {cut:,} more" if cut > 0 else ""
        parts.append(f'    {head},\n     "data":{data}{more}]}}')
    named = {"model_name": model.name, "model_version": str(model.chosen.number)}
    told = ",\n".join(parts)
    return f'{orjson.dumps(named).decode()[:-1]},\n  "outputs":[\n{told}]}}'


def _tensor(name: str, array: np.ndarray, most: int | None = None) -> dict[str, Any]:
    values = [_plain(value) for value in array.reshape(-1)[:most].tolist()]
    if array.dtype.name == "float32":
        values = [_short(value) for value in values]
    return {"name": name, "datatype": _datatype(array), "shape": [*array.shape], "data": values}


def _short(value: Any) -> Any:
    """Return a number of 32 bits as it is written, not as its 64 bits are."""
    import numpy as np

    return float(str(np.float32(value))) if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _dtype(array: np.ndarray) -> str:
    return "string" if array.dtype.kind in "OSU" else array.dtype.name


def _datatype(array: np.ndarray) -> str:
    from gpfn.tensors.dtypes import OPEN_INFERENCE_NAMES  # NumPy is there, as arrays are

    return OPEN_INFERENCE_NAMES.get(_dtype(array), _dtype(array))
