"""The nodes and functions of a TensorFlow graph, all of whose operators are allowed ones.

Nothing of a tensor is read, and of a function that nobody asks for only which operators it has
and which functions it names. The message is read as TensorFlow reads it; what two readers could
take for two things, such as a name that is there twice, is refused. Sources: graph.proto,
node_def.proto, function.proto, op_def.proto and attr_value.proto of TensorFlow.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from gpfn.errors import ModelRefused
from gpfn.models.protobuf import fields
from gpfn.models.tf_operators import ALLOWED, FILE_OPERATORS, advice

__all__ = [
    "GraphProgram",
    "NodePlace",
    "ProgramNode",
    "Scope",
    "all_in",
    "bare_name",
    "first_output",
    "last_text",
    "refused_operator",
    "text_of",
]

_NODE, _LIBRARY, _FUNCTION = 1, 2, 1  # fields of GraphDef, of FunctionDefLibrary
_OP_DEF, _BODY, _FUNCTION_ATTRIBUTE = 1, 3, 5  # of FunctionDef
_OP_DEF_NAME, _ARGUMENT, _OP_DEF_ATTRIBUTE, _DEFAULT = 1, 2, 4, 3  # of OpDef, of its AttrDef
_ARGUMENT_NAME, _NUMBER_OF, _TYPES_OF = 1, 5, 6  # of ArgDef
_NAME, _OP, _INPUT, _ATTRIBUTE = 1, 2, 3, 5  # of NodeDef
_KEY, _VALUE = 1, 2  # of a map's entry
_TEXT, _FUNC, _LIST, _LIST_FUNC, _FUNC_NAME, _FUNC_ATTRIBUTE = 2, 10, 1, 9, 1, 2  # of AttrValue

_AREAS = {
    "signatures": "a signature",
    "init": "the initialiser",
    "restore": "the restorer",
    "save": "the saver",
}

_MOST_NODES = 500_000
_MOST_INPUTS = 100_000
_LONGEST_NAME = 4096
_REMEMBERED, _MOST_REMEMBERED = 64, 20_000
_FURTHEST = 100


class NodePlace(NamedTuple):
    """Where a node is: its name, and its function's, "" for the graph itself."""

    node: str
    function: str


class ProgramNode(NamedTuple):
    """A node: what it computes, from what, and the functions that its attributes name."""

    name: str
    op: str
    inputs: tuple[str, ...]
    functions: tuple[str, ...]


class GraphProgram:
    """A graph with its functions. Raises ModelRefused for an operator that is not allowed.

    ``nodes`` and ``functions`` are messages by name, ``named`` the functions that each function
    names, ``defaults`` those that it names outside of its nodes, and ``file_nodes`` the
    operators that touch files, by function.
    """

    def __init__(self, graphs: Iterable[memoryview]) -> None:
        self.nodes: dict[str, memoryview] = {}
        self.functions: dict[str, memoryview] = {}
        self.named: dict[str, set[str]] = {}
        self.defaults: dict[str, frozenset[str]] = {}
        self.file_nodes: dict[str, dict[NodePlace, str]] = {}
        self._first: dict[str, NodePlace] = {}
        self._count = 0
        self._remembered: dict[bytes, tuple[str, ...]] = {}
        for graph in graphs:
            for field in fields(graph):
                if field.number == _NODE:
                    self._add_node(field.bytes, "", self.nodes)
                elif field.number == _LIBRARY:
                    for function in all_in(field.bytes, _FUNCTION):
                        self._add_function(function)
        self._check()

    def node(self, message: memoryview) -> ProgramNode:
        """Read a node."""
        name = op = ""
        inputs: list[str] = []
        functions: tuple[str, ...] = ()
        for field in fields(message):
            if field.number == _ATTRIBUTE:
                functions += self._functions_of(field.bytes)
            elif field.number == _INPUT:
                inputs.append(text_of(field.bytes))
                if len(inputs) > _MOST_INPUTS:
                    raise ModelRefused(f"{name!r:.99} has too many inputs", field="model")
            elif field.number == _NAME:
                name = text_of(field.bytes)
            elif field.number == _OP:
                if op:
                    raise ModelRefused(f"{name!r:.99} has two operators", field="model")
                op = text_of(field.bytes)
        return ProgramNode(name, op, tuple(inputs), functions)

    def inner_operators(self) -> set[str]:
        """Return the operators, and the names of functions, that functions have in them."""
        return set().union(*(self.named[name] for name in self.functions))

    def text_attribute(self, message: memoryview, key: str) -> str:
        """Return an attribute of a node that is a text, nothing without it."""
        entries = [each for each in all_in(message, _ATTRIBUTE) if last_text(each, _KEY) == key]
        values = [value for entry in entries for value in all_in(entry, _VALUE)]
        return last_text(values[-1], _TEXT) if values else ""

    def scope(self, name: str, given: tuple[str, ...]) -> "Scope":
        """Read a function. ``given`` says what its arguments are, as far as that is known."""
        arguments: list[str] = []
        nodes: dict[str, memoryview] = {}
        for field in fields(self.functions[name]):
            if field.number == _BODY:
                nodes[last_text(field.bytes, _NAME)] = field.bytes
            elif field.number == _OP_DEF:
                for argument in all_in(field.bytes, _ARGUMENT):
                    if {_NUMBER_OF, _TYPES_OF} & {part.number for part in fields(argument)}:
                        given = ()  # a list: it is several of the caller's inputs
                    arguments.append(last_text(argument, _ARGUMENT_NAME))
        pairs = zip(arguments, given, strict=False)
        known = {each: what for each, what in pairs if each not in nodes and ":" not in each}
        return Scope(self, name, nodes, known)

    def exchangeable(self, name: str) -> bool:
        """Say whether TensorFlow may put a function in the place of others, or those in its."""
        attributes = all_in(self.functions[name], _FUNCTION_ATTRIBUTE)
        return any(last_text(entry, _KEY) == "api_implements" for entry in attributes)

    def _add_node(self, message: memoryview, function: str, names: dict[str, memoryview]) -> None:
        self._count += 1
        if self._count > _MOST_NODES:
            raise ModelRefused(f"more than {_MOST_NODES} operators", field="model")
        node = self.node(message)
        _add(names, node.name, message, "nodes")
        place = NodePlace(node.name, function)
        self._first.setdefault(node.op, place)
        self.named.setdefault(function, set()).update(node.functions, (node.op,))
        if node.op in FILE_OPERATORS:
            self.file_nodes.setdefault(function, {})[place] = node.op

    def _add_function(self, message: memoryview) -> None:
        name, named = "", set[str]()
        for field in fields(message):
            if field.number == _OP_DEF:
                name = last_text(field.bytes, _OP_DEF_NAME) or name
                for attribute in all_in(field.bytes, _OP_DEF_ATTRIBUTE):
                    named.update(_functions_in(all_in(attribute, _DEFAULT)))
            elif field.number == _FUNCTION_ATTRIBUTE:
                named.update(self._functions_of(field.bytes))
        _add(self.functions, name, message, "functions")
        self.named[name], self.defaults[name] = named, frozenset(named)
        names: dict[str, memoryview] = {}
        for node in all_in(message, _BODY):
            self._add_node(node, name, names)

    def _functions_of(self, attribute: memoryview) -> tuple[str, ...]:
        """Return the functions that an attribute names; most attributes come a thousand times."""
        if len(attribute) > _REMEMBERED:
            return tuple(_functions_in(all_in(attribute, _VALUE)))
        key = bytes(attribute)
        found = self._remembered.get(key)
        if found is None:
            found = tuple(_functions_in(all_in(attribute, _VALUE)))
            if len(self._remembered) < _MOST_REMEMBERED:
                self._remembered[key] = found
        return found

    def _check(self) -> None:
        for op, place in self._first.items():
            if op not in ALLOWED and op not in FILE_OPERATORS and not self._calls(op):
                raise refused_operator(op, place)

    def _calls(self, op: str) -> bool:
        """Say whether an operator's name is a function's, and cannot be an operator's.

        Those of TensorFlow are called like ``ReadFile``, without underscores but in front.
        """
        return op in self.functions and "_" in op.strip("_")


class Scope:
    """The nodes of a graph or of a function, and the tensors in it whose origin is known."""

    def __init__(
        self, program: GraphProgram, name: str, nodes: dict[str, memoryview], known: dict[str, str]
    ) -> None:
        self.name, self.nodes, self.program = name, nodes, program
        self._known = known

    def node(self, name: str) -> ProgramNode:
        """Return one of the nodes."""
        return self.program.node(self.nodes[name])

    def origins(self, node: ProgramNode) -> tuple[str, ...]:
        """Return what the inputs of a node are."""
        return tuple(self.origin(name) for name in node.inputs if not name.startswith("^"))

    def origin(self, tensor: str) -> str:
        """Return what a tensor is that comes by way of copies alone; nothing if not known."""
        for _ in range(_FURTHEST):
            found = self._known.get(first_output(tensor))
            if found is not None:
                return found
            name = bare_name(tensor)
            tensor = self.copied(self.node(name)) if name in self.nodes else ""
            if not tensor:
                return ""
        return ""

    def copied(self, node: ProgramNode) -> str:
        """Return the tensor that a node gives again, if it is one that does."""
        return node.inputs[0] if node.op == "Identity" and node.inputs else ""


def _functions_in(values: Iterable[memoryview]) -> Iterator[str]:
    """Give the names of functions in the values of attributes, and in those functions' own."""
    left = list(islice(values, _MOST_INPUTS))
    count = 0
    while left:
        for field in fields(left.pop()):
            if field.number == _FUNC:
                functions: Iterable[memoryview] = (field.bytes,)
            elif field.number == _LIST:
                functions = all_in(field.bytes, _LIST_FUNC)
            else:
                continue
            for function in functions:
                count += 1
                if count > _MOST_INPUTS:
                    raise ModelRefused("an attribute that names too many functions", field="model")
                yield last_text(function, _FUNC_NAME)
                for entry in all_in(function, _FUNC_ATTRIBUTE):
                    left += islice(all_in(entry, _VALUE), _MOST_INPUTS)


def all_in(message: memoryview, number: int) -> Iterator[memoryview]:
    """Give the messages of a field."""
    return (field.bytes for field in fields(message) if field.number == number)


def last_text(message: memoryview, number: int) -> str:
    """Return a field that is a text; of several the last, as protobuf does."""
    found = message[:0]
    for found in all_in(message, number):  # noqa: B007
        pass
    return text_of(found)


def text_of(view: memoryview) -> str:
    """Return a name; raises ModelRefused for one that is none by its length."""
    if len(view) > _LONGEST_NAME:
        raise ModelRefused(f"a name of {len(view)} bytes", field="model")
    return str(view, "utf-8", "replace")


def _add(found: dict[str, memoryview], name: str, message: memoryview, what: str) -> None:
    if name in found:
        raise ModelRefused(f"two {what} are called {name!r:.99}", field="model")
    found[name] = message


def bare_name(tensor: str) -> str:
    """Return the node of ``node:1``, ``^node`` or ``node:output:0``."""
    return tensor.removeprefix("^").partition(":")[0]


def first_output(tensor: str) -> str:
    """Return a node's name for its first output, and something else for other outputs."""
    return tensor.removesuffix(":0")


def refused_operator(op: str, place: NodePlace, area: str = "") -> ModelRefused:
    """Return the error for an operator; ``area`` is what leads to it though it must not."""
    inside = f" in the function {place.function!r:.99}" if place.function else ""
    if op in FILE_OPERATORS:
        told = "touches files, which only a SavedModel's own saver, restorer and initialiser may"
        told += f"; here {_AREAS[area]} leads to it" if area else ""
    else:
        told = f"is not allowed: {advice(op)}"
    told = f"the operator {op!r:.99} (node {place.node!r:.199}{inside}) {told}"
    return ModelRefused(told, field="model")
