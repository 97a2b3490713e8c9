"""Models that somebody might upload to do harm: they end, hold up or fill who opens them."""

import itertools
import struct

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tests.serving.repository.onnx_files import graph_of, integers, node

__all__ = ["crashing", "hanging", "hungry"]


def crashing() -> bytes:
    """Return a LiteRT model that reads outside of its memory when it is called."""
    model, code, graph = schema.ModelT(), schema.OperatorCodeT(), schema.SubGraphT()
    code.builtinCode = code.deprecatedBuiltinCode = 13  # LOCAL_RESPONSE_NORMALIZATION
    code.version = 1
    graph.tensors = [schema.TensorT(), schema.TensorT()]
    for tensor in graph.tensors:
        tensor.shape, tensor.type, tensor.name = [1, 2, 2, 2], schema.TensorType.FLOAT32, b"t"
    operator, options = schema.OperatorT(), schema.LocalResponseNormalizationOptionsT()
    options.radius = 1 << 30  # of two channels
    operator.inputs, operator.outputs, operator.opcodeIndex = [0], [1], 0
    operator.builtinOptionsType = schema.BuiltinOptions.LocalResponseNormalizationOptions
    operator.builtinOptions = options
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def hanging() -> bytes:
    """Return a small ONNX model that computes for hours before it is open."""
    return _filled(6000, 300)


def hungry() -> bytes:
    """Return a small ONNX model that takes 20 GB."""
    return _filled(70_000, 0)


def _filled(size: int, products: int) -> bytes:
    """Return a model that multiplies by the largest value of a large matrix of its own."""
    names = [f"m{number}" for number in range(products + 1)]
    nodes = [node("ConstantOfShape", ["shape"], "m0")]
    for before, name in itertools.pairwise(names):
        nodes.append(node("MatMul", [before, before], name))
    nodes += [node("ReduceMax", [names[-1]], "most"), node("Mul", ["x", "most"], "y")]
    return graph_of(nodes, [integers("shape", struct.pack("<2q", size, size), 2)])
