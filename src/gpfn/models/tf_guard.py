"""Is everything that a TensorFlow model can run allowed? Told from its bytes alone.

All nodes of all graphs and of all functions count, whether something calls them or not. What
is in no list of :mod:`gpfn.models.tf_operators` is refused. A SavedModel has operators that
read and write its own files, too, and each of those has one place:

* those that write: where only its saver leads to, which no server runs;
* those that restore: where only its restorer leads to, with the file name that the loader
  hands in, and no other;
* those that fill a table from a file: where only its initialiser leads to, from an asset.

So no signature leads to any of them. Sources: meta_graph.proto, saver.proto and
saved_model.proto of TensorFlow; its `LoadSavedModel` for what is run and what is fed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property

from gpfn.errors import ModelRefused
from gpfn.models.protobuf import fields
from gpfn.models.tf_operators import FILE_OPERATORS
from gpfn.models.tf_program import (
    GraphProgram,
    NodePlace,
    ProgramNode,
    Scope,
    all_in,
    bare_name,
    first_output,
    last_text,
    refused_operator,
    text_of,
)

__all__ = ["check_graph_def", "check_saved_model"]

_META_GRAPH = 2  # field of SavedModel
_GRAPH, _SAVER, _COLLECTION, _SIGNATURES, _ASSET = 2, 3, 4, 5, 6  # of MetaGraphDef
_FILENAME_TENSOR, _SAVE_TENSOR, _RESTORE_OP = 1, 2, 3  # of SaverDef
_KEY, _VALUE = 1, 2  # of a map's entry
_OUTPUTS, _TENSOR, _COO, _COMPOSITE, _COMPONENTS = 2, 1, 4, 5, 2  # of SignatureDef, of TensorInfo
_NODE_LIST, _ASSET_TENSOR, _ASSET_FILE = 1, 1, 2  # of CollectionDef, of AssetFileDef
_INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")

_MOST_STEPS = 1_000_000
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")

_Call = tuple[str, tuple[str, ...]]
"""A function, and what its arguments are."""


def check_graph_def(data: memoryview) -> None:
    """Check a frozen graph. Raises ModelRefused, or ProtobufError when it is damaged."""
    for places in GraphProgram([data]).file_nodes.values():
        for place, op in places.items():
            raise refused_operator(op, place)


def check_saved_model(data: memoryview) -> None:
    """Check ``saved_model.pb``. Raises ModelRefused, or ProtobufError when it is damaged."""
    for meta_graph in all_in(data, _META_GRAPH):
        program = GraphProgram(all_in(meta_graph, _GRAPH))
        roots = _Roots(meta_graph)
        if program.file_nodes:
            _check_files(program, roots)


class _Roots:
    """What TensorFlow runs of a SavedModel, by area, and the tensors that it feeds."""

    def __init__(self, meta_graph: memoryview) -> None:
        self.areas: dict[str, list[str]] = {"signatures": [], "init": [], "restore": [], "save": []}
        self.fed: dict[str, str] = {}
        saver = {_FILENAME_TENSOR: "", _SAVE_TENSOR: "", _RESTORE_OP: ""}
        for field in fields(meta_graph):
            if field.number == _SAVER:
                parts = fields(field.bytes)
                saver |= {
                    part.number: text_of(part.bytes) for part in parts if part.number in saver
                }
            elif field.number == _COLLECTION:
                self._add_collection(field.bytes)
            elif field.number == _SIGNATURES:
                self._add_signature(field.bytes)
            elif field.number == _ASSET:
                self._add_asset(field.bytes)
        self.areas["save"].append(saver[_SAVE_TENSOR])
        self.areas["restore"].append(saver[_RESTORE_OP])
        self._feed(saver[_FILENAME_TENSOR], "filename")

    def _add_collection(self, entry: memoryview) -> None:
        if last_text(entry, _KEY) in _INIT_COLLECTIONS:
            for collection in all_in(entry, _VALUE):
                for nodes in all_in(collection, _NODE_LIST):
                    self.areas["init"] += [text_of(name) for name in all_in(nodes, 1)]

    def _add_signature(self, entry: memoryview) -> None:
        area = "init" if last_text(entry, _KEY) == _INIT_SIGNATURE else "signatures"
        for signature in all_in(entry, _VALUE):
            for output in all_in(signature, _OUTPUTS):
                for info in all_in(output, _VALUE):
                    self.areas[area] += _tensors_of(info)

    def _add_asset(self, asset: memoryview) -> None:
        name = last_text(asset, _ASSET_FILE)
        if not name or name[0] == "/" or "\\" in name or "\0" in name or ".." in name.split("/"):
            told = f"its asset {name!r:.99} is outside of the model's folder"
            raise ModelRefused(told, field="model")
        for info in all_in(asset, _ASSET_TENSOR):
            self._feed(last_text(info, _TENSOR), "asset")

    def _feed(self, tensor: str, what: str) -> None:
        name = first_output(tensor)
        if name and ":" not in name:
            self.fed[name] = what


def _tensors_of(info: memoryview) -> Iterator[str]:
    """Give the tensors of a TensorInfo, which may be one, a sparse one or a composite."""
    left = [info]
    while left:
        for field in fields(left.pop()):
            if field.number == _TENSOR:
                yield text_of(field.bytes)
            elif field.number == _COO:
                yield from (text_of(part.bytes) for part in fields(field.bytes))
            elif field.number == _COMPOSITE:
                left += all_in(field.bytes, _COMPONENTS)


def _check_files(program: GraphProgram, roots: _Roots) -> None:
    """Check that every operator that touches files stands where it may."""
    right: set[NodePlace] = set()
    for area, names in roots.areas.items():
        right |= _Area(program, area, roots.fed).through(names)
    for places in program.file_nodes.values():
        for place, op in places.items():
            if place not in right:
                raise refused_operator(op, place)


class _Graph(Scope):
    """The graph outside of functions, where the name of an asset goes through a variable."""

    def copied(self, node: ProgramNode) -> str:
        """Return the tensor that a node gives again: also of a variable with one value."""
        if node.op == "ReadVariableOp" and node.inputs:
            return self._only_values.get(bare_name(node.inputs[0]), "")
        return super().copied(node)

    @cached_property
    def _only_values(self) -> dict[str, str]:
        """What is assigned to each variable that nothing else can be assigned to.

        It is used for nothing but that and reading, so no function can assign to it, and no
        other variable has its name.
        """
        if "VarHandleOp" in self.program.inner_operators():
            return {}
        values: dict[str, list[str]] = {}
        names: dict[str, set[str]] = {}
        elsewhere: set[str] = set()
        for name, message in self.nodes.items():
            node = self.program.node(message)
            if node.op == "VarHandleOp":
                names[name] = {name, self.program.text_attribute(message, "shared_name")}
            elif node.op == "AssignVariableOp" and len(node.inputs) > 1:
                values.setdefault(bare_name(node.inputs[0]), []).append(node.inputs[1])
                elsewhere.update(map(bare_name, node.inputs[1:]))
            elif node.op not in ("ReadVariableOp", "VarIsInitializedOp", "NoOp"):
                elsewhere.update(map(bare_name, node.inputs))
        counts = Counter(name for each in names.values() for name in each)
        return {
            name: values[name][0]
            for name, called in names.items()
            if name not in elsewhere
            and len(values.get(name, ())) == 1
            and all(counts[each] == 1 for each in called)
        }


class _Area:
    """What one of the things that TensorFlow runs leads to."""

    def __init__(self, program: GraphProgram, area: str, fed: dict[str, str]) -> None:
        self._program, self._area = program, area
        self._graph = _Graph(program, "", program.nodes, fed)
        self._right: set[NodePlace] = set()
        self._steps = 0

    def through(self, names: Iterable[str]) -> set[NodePlace]:
        """Return the operators that touch files and are right here; raises ModelRefused."""
        left, seen = [bare_name(name) for name in names], set[str]()
        calls: list[_Call] = []
        while left:
            name = left.pop()
            if name in self._program.nodes and name not in seen:
                seen.add(name)
                node = self._graph.node(name)
                left += map(bare_name, node.inputs)
                calls += self._visit(self._graph, node)
        if self._area in ("init", "restore"):  # where it matters what arguments are
            self._through_nodes(calls)
        else:
            self._through_functions([function for function, _ in calls])
        return self._right

    def _through_functions(self, left: list[str]) -> None:
        seen: set[str] = set()
        while left:
            name = left.pop()
            if name in self._program.functions and name not in seen:
                seen.add(name)
                self._check_function(name)
                left += self._program.named[name]
                for place, op in self._program.file_nodes.get(name, {}).items():
                    self._judge(place, op)

    def _through_nodes(self, calls: list[_Call]) -> None:
        seen: set[_Call] = set()
        while calls:
            call = calls.pop()
            name, given = call
            if name not in self._program.functions or call in seen:
                continue
            seen.add(call)
            self._check_function(name)
            scope = self._program.scope(name, given)
            self._steps += len(scope.nodes)
            if self._steps > _MOST_STEPS:
                raise ModelRefused("its functions call each other in too many ways", field="model")
            calls += [(function, ()) for function in self._program.defaults[name]]
            for each in scope.nodes:
                calls += self._visit(scope, scope.node(each))

    def _check_function(self, name: str) -> None:
        if self._area != "signatures" and self._program.exchangeable(name):
            told = f"the function {name!r:.99} could be put in another one's place"
            raise ModelRefused(f"{told}, and its {self._area} leads to it", field="model")

    def _visit(self, scope: Scope, node: ProgramNode) -> Iterator[_Call]:
        """Judge a node, and give the functions that it calls with what they are given."""
        if node.op in FILE_OPERATORS:
            argument = FILE_OPERATORS[node.op].argument
            name = node.inputs[argument] if 0 <= argument < len(node.inputs) else ""
            self._judge(NodePlace(node.name, scope.name), node.op, scope.origin(name))
        known = node.op in _CALLS and len(node.functions) == 1
        for function in node.functions:
            yield function, scope.origins(node) if known else ()
        if node.op in self._program.functions:
            yield node.op, scope.origins(node)

    def _judge(self, place: NodePlace, op: str, origin: str = "") -> None:
        rule = FILE_OPERATORS[op]
        if rule.area != self._area or rule.origin != origin:
            raise refused_operator(op, place, self._area)
        self._right.add(place)
