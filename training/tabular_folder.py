"""What lies beside the exports: model.toml for gpfn, params.json for TFaaS, labels for both."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gpfn.models.branches import BranchMapping, Pick
from gpfn.models.toml_table import toml_text

__all__ = [
    "INPUT",
    "LABELS",
    "SAMPLE",
    "branches_toml",
    "labels",
    "model_toml",
    "output_name",
    "params_json",
    "plain_name",
]

INPUT = "features"
LABELS, SAMPLE = "labels.txt", "sample.npy"


def output_name(classes: Sequence[str]) -> str:
    """Return what the output of a network is called."""
    return "probabilities" if classes else "prediction"


def plain_name(text: str) -> str:
    """Return a name that repositories and TFaaS take: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or "model"


def model_toml(
    title: str,
    model: str,
    columns: Sequence[tuple[str, bool, float | None]],
    classes: Sequence[str],
) -> str:
    """Return the description of the model: its columns in order.

    Of each the name, whether it is of truth values, and what stands for a gap.
    """
    lines = [
        f"title = {toml_text(title)}",
        'source = "gpfn train tabular"',
        f"model = {toml_text(model)}",
    ]
    if classes:
        lines.append(f"labels = {toml_text(LABELS)}")
    for name, switch, default in columns:
        lines += ["", "[[columns]]", f"name = {toml_text(name)}"]
        if switch:
            lines.append('dtype = "bool"')
        if default is not None:
            lines.append(f"default = {str(bool(default)).lower() if switch else repr(default)}")
    lines += ["", "[serving]", f"warmup = [{toml_text(SAMPLE)}]"]
    return "\n".join(lines) + "\n"


def branches_toml(mapping: BranchMapping | None) -> str:
    """Return the table ``branches`` of a model.toml, which makes the columns of ROOT files."""
    if mapping is None:
        return ""
    lines = ["", "[branches]"]
    if mapping.tree:
        lines.append(f"tree = [{', '.join(map(toml_text, mapping.tree))}]")
    lines.append("inputs = [")
    for each in mapping.inputs:
        names = [toml_text(_spelled(pick)) for pick in each.choices]
        branch = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
        padded = f"{{ branch = {branch}, padding = {each.padding!r} }}"
        lines.append(f"  {padded if each.padding != 0 else branch},")
    return "\n".join([*lines, "]"]) + "\n"


def _spelled(pick: Pick) -> str:
    """Return a pick as a mapping spells it."""
    if pick.counted:
        return f"count({pick.branch})"
    return f"{pick.branch}[{pick.start}:{pick.stop}]" if pick.stop else pick.branch


def labels(facts: Mapping[str, Any]) -> str:
    """Return what the values of the output are called, one a line; of a number the target."""
    return "".join(f"{name}\n" for name in facts["data"]["classes"] or [facts["data"]["target"]])


def params_json(graph: str, facts: Mapping[str, Any]) -> str:
    """Return TFaaS' parameters, with both spellings of the nodes, and the features for gpfn."""
    classes = facts["data"]["classes"]
    result = output_name(classes)
    document = {
        "name": facts["name"],
        "model": graph,
        "labels": LABELS,
        "description": facts["title"],
        "inputNode": INPUT,
        "outputNode": result,
        "input_node": INPUT,
        "output_node": result,
        "options": None,
        "features": facts["data"]["features"],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
