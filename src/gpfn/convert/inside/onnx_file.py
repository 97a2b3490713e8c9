"""What is done to every ONNX file of trees and pipelines before it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .talk import Refused

__all__ = ["class_texts", "finish", "write_trees"]

_OPSET = 15


def class_texts(classes: Any) -> list[str]:
    """Return classes as the labels of a file are: True and 1.0 are written as 1."""
    numbers = np.asarray(classes).dtype.kind in "bf"
    return [str(int(name)) if numbers else str(name) for name in classes]


def finish(
    model: Any, outputs: int, out: str, *, inputs: Sequence[str] = (), batch: bool = True
) -> list[str]:
    """Write a model that has as many ``outputs`` as can be compared; returns their names.

    ``inputs`` are names of columns, in their order, which the inputs get back: of ``city name``
    the converter makes ``city_name``, and no file of data has that.

    Outputs beyond those go: nothing says whether they are right. The first size of every
    output is open, also where the converter has written 1 for labels, which ONNX Runtime would
    warn of at each call. An operator set that is listed twice is listed once.
    """
    import onnx

    graph = model.graph
    del graph.output[outputs:]
    if inputs:
        names = dict(zip((value.name for value in graph.input), inputs, strict=True))
        for value in graph.input:
            value.name = names[value.name]
        _rename(graph, names)
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        if batch and len(dims):
            dims[0].Clear()
            dims[0].dim_param = "rows"
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if batch and len(dims) and not dims[0].dim_value:
            dims[0].dim_param = "rows"
    known = {opset.domain: opset.version for opset in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*each) for each in sorted(known.items()))
    with open(out, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    return [value.name for value in graph.output]


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Give what nodes take its new name, also within loops and branches."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names)


def write_trees(
    converter: Callable[..., Any],
    model: Any,
    out: str,
    *,
    objective: str,
    width: int,
    ask: Callable[[Sequence[str], Sequence[np.ndarray]], list[np.ndarray]],
    **words: Any,
) -> list[str]:
    """Write a model of trees by one of onnxmltools' converters; returns its outputs' names.

    ``ask`` tells how many outputs there are; ``words`` go to the converter. Raises Refused when
    it cannot write the ``objective``.
    """
    from onnxmltools.convert.common.data_types import FloatTensorType

    kinds = [("x", FloatTensorType([None, width]))]
    try:
        made = converter(model, initial_types=kinds, target_opset=_OPSET, **words)
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise Refused(f"onnxmltools cannot write {objective}: {told}") from error
    answers = ask(["x"], [np.zeros((2, width), np.float32)])
    return finish(made, len(answers), out)
