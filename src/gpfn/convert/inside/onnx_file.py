"""What is done to every ONNX file of trees and pipelines before it is written."""

from __future__ import annotations

from typing import Any

__all__ = ["finish"]


def finish(model: Any, outputs: int, out: str, *, batch: bool = True) -> list[str]:
    """Write a model that has as many ``outputs`` as can be compared; returns their names.

    Outputs beyond those go: nothing says whether they are right. The first size of every
    output is open, also where the converter has written 1 for labels, which ONNX Runtime would
    warn of at each call. An operator set that is listed twice is listed once.
    """
    import onnx

    graph = model.graph
    del graph.output[outputs:]
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
