"""Whether rows of several requests may be one call of a model, by the model's own word.

A row is a row: what is answered for it never depends on the rows beside it. So rows are put
together only where every input and output leaves its first size open, and where the backend
that can tell from the graph says that rows do not influence each other. The model server and
the functions that are called with batches of events go by this rule alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from gpfn.tensors.spec import find_name

if TYPE_CHECKING:
    from gpfn.models.model import Model

__all__ = ["LARGEST_BATCH", "batch_obstacle", "computes_here", "has_batch_axis", "output_elements"]

LARGEST_BATCH = 64
"""Rows that are computed together at most, unless the model's description says otherwise."""


def computes_here(model: Model) -> bool:
    """Say whether a call only computes, in this process: its time tells that of the next."""
    return _only_computes(model) and not getattr(model, "waits", False)


def _only_computes(model: Model) -> bool:
    from gpfn.models.backends import BACKENDS

    backend = getattr(model, "backend", "")
    return any(row.runtime == backend and row.computes_here for row in BACKENDS)


def has_batch_axis(model: Model) -> bool:
    """Say whether rows of several requests may be computed together, by the model's own word.

    Its inputs and outputs all leave their first size open, it only computes, and, where the
    backend can tell from the graph, rows do not influence each other. A Python function or a
    remote model promises nothing: its owner may declare it.
    """
    return not batch_obstacle(model)


def batch_obstacle(model: Model, outputs: Sequence[str] = ()) -> str:
    """Return why rows of several requests may not be computed together; nothing if they may.

    ``outputs`` are those that are asked for, all when empty. Some models give more than their
    outputs, such as any tensor of a graph: of those nothing is promised.
    """
    if not _only_computes(model):
        backend = getattr(model, "backend", "python")
        return f"a model of the backend {backend} promises nothing of its rows"
    if not model.inputs:
        return "the model tells no inputs"
    for spec in (*model.inputs, *model.outputs):
        if not spec.shape or spec.shape[0] is not None:
            return f"{spec.name} does not leave its first size open"
    known = {spec.name for spec in model.outputs}
    for name in outputs:
        if find_name(name, known) is None:
            return f"{name} is none of the model's outputs, so its first size may be anything"
    if not getattr(model, "rows_are_apart", True):
        return "in the graph rows are not certain to be computed apart"
    return ""


def output_elements(model: Model) -> int:
    """Return how many elements a row of all outputs has; a size that is open counts as 1."""
    shapes = [spec.shape[1:] for spec in model.outputs if spec.shape]
    return sum(prod(1 if size is None else size for size in shape) for shape in shapes)
