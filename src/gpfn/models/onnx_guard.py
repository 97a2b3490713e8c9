"""Is everything that an ONNX model can run allowed? Told from its bytes alone.

Operators of the standard and of its machine learning part compute, all of them. Of onnxruntime's
own (``com.microsoft``) those in a list are allowed: not the ones that hand over to another
library (Snpe, EPContext). Any other domain stands for a library that somebody would have to
load, unless the model itself has the function. Functions are put in where they are called, so
they must not call themselves, nor each other in so many ways that the graph explodes.

Tensors may lie in other files, and those have to be in the model's folder. Source: onnx.proto.
"""

import os
from collections import Counter
from collections.abc import Iterator

from gpfn.errors import ModelRefused
from gpfn.models.onnx_files import KINDS_INSIDE, MessageKind
from gpfn.models.protobuf import fields

__all__ = ["CONTRIBUTED", "check_onnx"]

_NAMES = """
    Attention AttnLSTM BeamSearch BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu
    BifurcationDetector BitmaskBiasDropout BitmaskDropout CDist ComplexMul ComplexMulConj
    ConvTransposeWithDynamicPads CropAndResize DecoderAttention DecoderMaskedMultiHeadAttention
    DecoderMaskedSelfAttention DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul
    EmbedLayerNormalization ExpandDims FastGelu FusedConv FusedGemm FusedMatMul
    FusedMatMulActivation GatedRelativePositionBias GatherBlockQuantized GatherND Gelu
    GreedySearch GridSample GroupNorm GroupQueryAttention Inverse Irfft IsAllFinite
    LinearAttention LongformerAttention MatMulBnb4 MatMulFpQ4 MatMulInteger16
    MatMulIntegerToFloat MatMulNBits MaxpoolWithMask MoE MulInteger MultiHeadAttention
    MurmurHash3 NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool PackedAttention
    PackedMultiHeadAttention Pad QAttention QEmbedLayerNormalization QGemm QLinearAdd
    QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu
    QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QMoE QuantizeLinear
    QuickGelu Range ReduceSumInteger RelativePositionBias RemovePadding RestorePadding Rfft
    RotaryEmbedding SampleOp Sampling SkipGroupNorm SkipLayerNormalization
    SkipSimplifiedLayerNormalization SparseAttention SparseToDenseMatMul Tokenizer
    TorchEmbedding TransposeMatMul Trilu UnfoldTensor Unique WhisperBeamSearch WordConvEmbedding
"""

CONTRIBUTED = frozenset(_NAMES.split())
"""The operators of ``com.microsoft`` that compute and do nothing else."""

_STANDARD = ("", "ai.onnx.ml")
_RESERVED = ("ai.onnx", "com.microsoft", "com.ms.")
"""How domains begin that onnxruntime itself has operators in."""

_NODE_NAME, _OP, _DOMAIN, _OVERLOAD = 3, 4, 7, 8  # of NodeProto
_FUNCTION_NAME, _FUNCTION_DOMAIN, _FUNCTION_OVERLOAD = 1, 10, 13  # of FunctionProto
_EXTERNAL_DATA, _KEY, _VALUE = 13, 1, 2  # of TensorProto, of StringStringEntryProto

_MOST_NODES = 1_000_000
_LONGEST_NAME = 4096
_MOST_FILES = 10_000
_DEEPEST = 200

_Function = tuple[str, str, str]
"""A function's domain, name and overload; that of the model's graph is empty."""

_MAIN: _Function = ("", "", "")


def check_onnx(data: memoryview, path: str) -> None:
    """Check an .onnx file. Raises ModelRefused, or ProtobufError when it is damaged."""
    model = _Model(data)
    for function, node in model.first.items():
        domain, op, _ = function
        own = function in model.calls and not domain.startswith(_RESERVED)
        if not own and not _allowed(domain, op):
            raise _refused(domain, op, node)
    model.check_size()
    for name in sorted(model.locations):
        _check_location(name, path)


def _allowed(domain: str, op: str) -> bool:
    return domain in _STANDARD or (domain == "com.microsoft" and op in CONTRIBUTED)


def _refused(domain: str, op: str, node: str) -> ModelRefused:
    told = f"the operator {op!r:.99} of the domain {domain!r:.99} (node {node!r:.199})"
    help_ = "export the model with ONNX's own operators"
    return ModelRefused(f"{told} is not allowed: {help_}", field="model")


class _Model:
    """Which operators a model has, which of its functions call which, and its other files."""

    def __init__(self, data: memoryview) -> None:
        self.first: dict[_Function, str] = {}
        self.locations: set[str] = set()
        self.calls: dict[_Function, Counter[_Function]] = {_MAIN: Counter()}
        self._nodes: Counter[_Function] = Counter()
        self._count = 0
        waiting = [(_MAIN, _inside(MessageKind.MODEL, data))]
        while waiting:
            owner, messages = waiting[-1]
            found = next(messages, None)
            if found is None:
                waiting.pop()
            elif len(waiting) > _DEEPEST:
                raise ModelRefused(f"graphs more than {_DEEPEST} messages deep", field="model")
            else:
                kind, message = found
                waiting.append((self._add(kind, message, owner), _inside(kind, message)))

    def _add(self, kind: MessageKind, message: memoryview, owner: _Function) -> _Function:
        """Take a message in; returns which function it is in, or is."""
        if kind is MessageKind.FUNCTION:
            return self._add_function(message)
        if kind is MessageKind.NODE:
            self._add_node(message, owner)
        elif kind is MessageKind.TENSOR:
            self.locations.update(_locations(message))
            if len(self.locations) > _MOST_FILES:
                raise ModelRefused(f"more than {_MOST_FILES} files beside it", field="model")
        return owner

    def check_size(self) -> None:
        """Refuse functions that call themselves, or would make the graph explode."""
        sizes: dict[_Function, int] = {}
        open_: set[_Function] = set()
        left = [(function, False) for function in self.calls]
        while left:
            function, done = left.pop()
            called = {each: n for each, n in self.calls[function].items() if each in self.calls}
            if done:
                open_.discard(function)
                inner = sum(count * sizes[each] for each, count in called.items())
                sizes[function] = self._nodes[function] + inner
                if sizes[function] > _MOST_NODES:
                    told = f"its functions make more than {_MOST_NODES} operators of it"
                    raise ModelRefused(told, field="model")
            elif function in open_:
                raise ModelRefused(f"the function {function[1]!r:.99} calls itself", field="model")
            elif function not in sizes:
                open_.add(function)
                left.append((function, True))
                left += [(each, False) for each in called if each not in sizes]

    def _add_function(self, message: memoryview) -> _Function:
        told = dict.fromkeys((_FUNCTION_DOMAIN, _FUNCTION_NAME, _FUNCTION_OVERLOAD), "")
        _read(message, told)
        domain, name, overload = told.values()
        function = ("" if domain == "ai.onnx" else domain, name, overload)
        if function in self.calls:
            raise ModelRefused(f"two functions are called {name!r:.99}", field="model")
        self.calls[function] = Counter()
        return function

    def _add_node(self, message: memoryview, owner: _Function) -> None:
        told = dict.fromkeys((_DOMAIN, _OP, _OVERLOAD, _NODE_NAME), "")
        _read(message, told)
        domain, op, overload, name = told.values()
        domain = "" if domain == "ai.onnx" else domain  # two names of one
        self.first.setdefault((domain, op, overload), name)
        self._nodes[owner] += 1
        self._count += 1
        if self._count > _MOST_NODES:
            raise ModelRefused(f"more than {_MOST_NODES} operators", field="model")
        self.calls[owner][domain, op, overload] += 1


def _inside(kind: MessageKind, message: memoryview) -> Iterator[tuple[MessageKind, memoryview]]:
    inside = KINDS_INSIDE.get(kind)
    if inside:
        for field in fields(message):
            if field.number in inside:
                yield inside[field.number], field.bytes


def _read(message: memoryview, told: dict[int, str]) -> None:
    """Read the texts of some fields. One that is there twice could be read as either."""
    seen = set[int]()
    for field in fields(message):
        if field.number in told:
            if field.number in seen or len(field.bytes) > _LONGEST_NAME:
                raise ModelRefused("a name that is there twice, or too long", field="model")
            seen.add(field.number)
            told[field.number] = field.text()


def _locations(tensor: memoryview) -> Iterator[str]:
    """Give where a tensor's bytes are outside of the file, whatever it says of using them."""
    for field in fields(tensor):
        if field.number == _EXTERNAL_DATA:
            told = {_KEY: "", _VALUE: ""}
            _read(field.bytes, told)
            if told[_KEY] == "location":
                yield told[_VALUE]


def _check_location(name: str, path: str) -> None:
    folder = os.path.realpath(os.path.dirname(path) or ".")
    odd = not name or "\0" in name or "\\" in name or "*" in name or os.path.isabs(name)
    real = "" if odd else os.path.realpath(os.path.join(folder, name))
    if odd or ".." in name.split("/") or os.path.commonpath((folder, real)) != folder:
        told = f"its file {name!r:.99} is outside of the model's folder"
        raise ModelRefused(told, field="model")
    if not os.path.isfile(real):
        told = f"the model needs the file {name!r:.99} beside it: send both"
        raise ModelRefused(told, field="model")
