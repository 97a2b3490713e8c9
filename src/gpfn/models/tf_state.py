"""What a SavedModel's signature would keep from call to call: the variables that it assigns.

The nodes that its outputs need are followed, and the functions that those call. Sources:
meta_graph.proto, graph.proto, node_def.proto, attr_value.proto and function.proto of TensorFlow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gpfn.models.protobuf import fields

__all__ = ["assigned_variables"]

_GRAPH = 2  # field of MetaGraphDef
_NODE, _LIBRARY = 1, 2  # of GraphDef
_FUNCTION = 1  # of FunctionDefLibrary
_SIGNATURE, _BODY = 1, 3  # of FunctionDef
_OP_NAME, _ARGUMENT, _ARGUMENT_NAME = 1, 2, 1  # of OpDef, and of its ArgDef
_NAME, _OP, _INPUT, _ATTRIBUTE = 1, 2, 3, 5  # of NodeDef
_VALUE, _LIST, _FUNC, _LIST_FUNC, _FUNC_NAME = 2, 1, 10, 9, 1  # of the map, of AttrValue

_CHANGES = ("Assign", "ResourceScatter", "ResourceApply", "RngReadAndSkip", "RngSkip")
"""How the operations begin that change a resource, which is their first input."""


class _Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    functions: tuple[str, ...]


def assigned_variables(meta_graph: bytes | memoryview, tensors: Sequence[str]) -> list[str]:
    """Return the names of the variables that are assigned when ``tensors`` are computed.

    Raises ProtobufError for a message that is not well formed.
    """
    nodes: dict[str, _Node] = {}
    library = _Library()
    for graph in _all(meta_graph, _GRAPH):
        nodes |= dict(_named_node(node) for node in _all(graph, _NODE))
        library.add(
            function for each in _all(graph, _LIBRARY) for function in _all(each, _FUNCTION)
        )
    found: dict[str, None] = {}
    left, seen = [_bare(tensor) for tensor in tensors], set[str]()
    while left:
        name = left.pop()
        if name in nodes and name not in seen:
            seen.add(name)
            left += [_bare(each) for each in nodes[name].inputs]
            found |= dict.fromkeys(library.changed(nodes[name], {}))
    return list(found)


class _Library:
    """The functions of a graph; those that are never called are not read."""

    def __init__(self) -> None:
        self._messages: dict[str, memoryview] = {}
        self._called: set[tuple[str, tuple[str, ...]]] = set()

    def add(self, messages: Iterable[memoryview]) -> None:
        for message in messages:
            name = next((_text(each, _OP_NAME) for each in _all(message, _SIGNATURE)), "")
            self._messages[name] = message

    def changed(self, node: _Node, names: Mapping[str, str]) -> Iterator[str]:
        """Give the resources that a node changes; ``names`` are those behind arguments."""
        inputs = [names.get(name, name) for name in map(_bare, node.inputs)]
        if node.op.startswith(_CHANGES) and inputs:
            yield inputs[0]
        for name in node.functions:
            call = (name, tuple(inputs))
            if name in self._messages and call not in self._called:
                self._called.add(call)
                yield from self._inside(name, inputs)

    def _inside(self, name: str, inputs: list[str]) -> Iterator[str]:
        arguments, nodes = _function(self._messages[name])
        given = inputs[max(0, len(inputs) - len(arguments)) :]  # a condition goes before
        inner = dict(zip(arguments, given, strict=False))
        for node in nodes:
            yield from self.changed(node, inner)


def _bare(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _all(message: bytes | memoryview, number: int) -> Iterator[memoryview]:
    return (field.bytes for field in fields(message) if field.number == number)


def _text(message: bytes | memoryview, number: int) -> str:
    return next((field.text() for field in fields(message) if field.number == number), "")


def _named_node(message: memoryview) -> tuple[str, _Node]:
    inputs = tuple(field.text() for field in fields(message) if field.number == _INPUT)
    called: list[str] = []
    for entry in _all(message, _ATTRIBUTE):
        for value in _all(entry, _VALUE):
            called += [_text(func, _FUNC_NAME) for func in _all(value, _FUNC)]
            for several in _all(value, _LIST):
                called += [_text(func, _FUNC_NAME) for func in _all(several, _LIST_FUNC)]
    return _text(message, _NAME), _Node(_text(message, _OP), inputs, tuple(called))


def _function(message: memoryview) -> tuple[tuple[str, ...], list[_Node]]:
    signature = next(_all(message, _SIGNATURE), message[:0])
    arguments = tuple(_text(each, _ARGUMENT_NAME) for each in _all(signature, _ARGUMENT))
    return arguments, [_named_node(node)[1] for node in _all(message, _BODY)]
