"""TensorFlow models through the C library: SavedModel folders and frozen graphs.

Extra ``tensorflow``; the Python package of TensorFlow is not imported. With one thread
a call is computed in the thread that makes it, so calls from several threads run side by
side. With more, calls share TensorFlow's pool, whose size the first model sets.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import InvalidTensor, ModelFailed, ModelUnreadable, SetupError
from gpfn.models.parts import model_size
from gpfn.models.signature import (
    Array,
    arguments,
    bare,
    check_some_left,
    find_name,
    reason,
)
from gpfn.models.tf_library import TensorFlowError
from gpfn.models.tf_session import Session, frozen_session, saved_session
from gpfn.models.tf_signature import Port, choose_signature, default_ports, operation_types
from gpfn.models.tf_state import assigned_variables
from gpfn.tensors.spec import TensorSpec

__all__ = ["TensorFlowModel", "open_frozen_graph", "open_saved_model"]

_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")

_SELECTIONS = 32
"""How many sets of outputs a model may be asked for: TensorFlow keeps a plan for each."""


class TensorFlowModel:
    """A graph with a session; see `gpfn.models.Model`.

    Besides its inputs and outputs, any tensor of the graph may be fed and fetched by its
    own name, as with graphpipe-tf. ``left_out`` says of each output that cannot be used why,
    and what helps.
    """

    backend = "tensorflow"

    def __init__(
        self,
        session: Session,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        *,
        size: int = 0,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.name = session.name
        self._session = session
        self._takes = {port.spec.name: port for port in inputs}
        self._gives = {port.spec.name: port for port in outputs}
        self.inputs: tuple[TensorSpec, ...] = tuple(port.spec for port in inputs)
        self.outputs: tuple[TensorSpec, ...] = tuple(port.spec for port in outputs)
        self._selections: set[tuple[str, ...]] = set()
        self.resident_bytes = size
        self.left_out = dict(left_out or {})

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        """Compute; see `gpfn.models.Model`."""
        with self._session.in_use():
            feeds = self._feeds(inputs)
            fetches = self._fetches(feeds, outputs)
            arrays = arguments(inputs, [port.spec for port in feeds])
            deadline.check("inference")
            try:
                given = self._session.run(feeds, arrays, fetches)
            except TensorFlowError as error:
                raise ModelFailed(f"{self.name}: {error}") from error
        results = {port.spec.name: array for port, array in zip(fetches, given, strict=True)}
        return {name: results[name] for name in map(self._shown, outputs or self._gives)}

    def close(self) -> None:
        """Free the session and the graph, when the calls at work have ended."""
        self._session.close()

    def gives(self, name: str) -> bool:
        """Say whether a call may ask for an output: a tensor of the graph by its own name too."""
        return self._gives_port(self._shown(name)) is not None

    def _shown(self, name: str) -> str:
        return find_name(name, self._gives) or bare(name)

    def _gives_port(self, name: str) -> Port | None:
        if name not in self._gives and name in self.left_out:
            return None  # a signature's output comes before a tensor of that name
        return self._gives.get(name) or self._session.find(name)

    def _feeds(self, inputs: Mapping[str, Array]) -> list[Port]:
        feeds: list[Port] = []
        for name in inputs:
            match = find_name(name, self._takes)
            port = self._takes[match] if match else self._session.find(bare(name))
            if port is None:
                takes = ", ".join(self._takes)
                raise InvalidTensor(
                    f"unknown input: no tensor of the graph; the model takes {takes}", field=name
                )
            feeds.append(port)
        declared = all(port.spec.name in self._takes for port in feeds)
        return list(self._takes.values()) if declared else feeds

    def _fetches(self, feeds: Sequence[Port], outputs: Sequence[str]) -> list[Port]:
        """Return what to fetch, in one order whatever the caller's."""
        fetches = {}
        for name in map(self._shown, outputs or self._gives):
            port = self._gives_port(name)
            if port is None:
                gives = ", ".join(self._gives)
                told = f"unknown output: no tensor of the graph; the model gives {gives}"
                raise InvalidTensor(reason(name, self.left_out) or told, field=name)
            fetches[name] = Port(replace(port.spec, name=name), port.output)
        selection = (*sorted(fetches), "", *sorted(port.spec.name for port in feeds))
        if selection not in self._selections and len(self._selections) >= _SELECTIONS:
            if not fetches.keys() <= self._gives.keys():
                raise InvalidTensor(f"more than {_SELECTIONS} different selections of outputs")
            fetches = self._gives
        else:
            self._selections.add(selection)
        return [fetches[name] for name in sorted(fetches)]


def open_saved_model(
    folder: str,
    *,
    threads: int = 1,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    signature: str = "",
) -> TensorFlowModel:
    """Open a SavedModel; names are those of its signature, or of tensors of its graph.

    Raises MissingExtra, ModelUnreadable, or SetupError for an unknown name or signature.
    """
    session = saved_session(folder, threads)
    try:
        _check_variables(session, folder)
        found = choose_signature(session.meta_graph, signature, folder)
        _check_state(session, [tensor for _, tensor in found.outputs])
        session.meta_graph = b""
        takes = _named(session, inputs, _signature_ports(session, found.inputs), "inputs")
        gives = _named(
            session,
            outputs,
            _signature_ports(session, found.outputs),
            "outputs",
            left_out=found.left_out,
        )
    except BaseException:
        session.close()
        raise
    return TensorFlowModel(session, takes, gives, size=model_size(folder), left_out=found.left_out)


def open_frozen_graph(
    path: str, *, threads: int = 1, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> TensorFlowModel:
    """Open a frozen graph; by default its inputs and outputs are those graphpipe-tf finds.

    Raises MissingExtra, ModelUnreadable, or SetupError for an unknown name.
    """
    with open(path, "rb") as file:
        content = file.read()
    session = frozen_session(path, content, threads)
    try:
        takes, gives, left_out = default_ports(session.library, session.graph)
        check_some_left(gives or outputs, left_out, path)
        takes = _named(session, inputs, takes, "inputs")
        gives = _named(session, outputs, gives, "outputs", left_out=left_out)
    except BaseException:
        session.close()
        raise
    return TensorFlowModel(session, takes, gives, size=len(content), left_out=left_out)


def _check_variables(session: Session, folder: str) -> None:
    """Raise ModelUnreadable when a copy lacks its variables: TensorFlow only logs that."""
    if os.path.isfile(os.path.join(folder, "variables", "variables.index")):
        return
    if any(kind in _VARIABLES for kind in operation_types(session.library, session.graph)):
        raise ModelUnreadable(f"a SavedModel whose variables are absent: {folder}")


def _check_state(session: Session, tensors: Sequence[str]) -> None:
    """Raise SetupError when an answer would depend on the calls before it."""
    if names := assigned_variables(session.meta_graph, tensors):
        raise SetupError(
            f"the model keeps state, in its variables {', '.join(names)}: each call would change"
            f" the answer of the next; save a signature that does not assign them: {session.name}",
            field="model",
        )


def _signature_ports(session: Session, ends: Sequence[tuple[TensorSpec, str]]) -> list[Port]:
    ports = [session.find(tensor, spec) for spec, tensor in ends]
    for (spec, tensor), port in zip(ends, ports, strict=True):
        if port is None:
            raise ModelUnreadable(
                f"{spec.name} is the tensor {tensor}, which the graph does not have: {session.name}"
            )
    return [port for port in ports if port]


def _named(
    session: Session,
    names: Sequence[str],
    defaults: Sequence[Port],
    field: str,
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> list[Port]:
    """Return the ports that a configuration names, all the defaults when it names none."""
    known = {port.spec.name: port for port in defaults}
    ports = []
    for name in names:
        match = find_name(name, known)
        why = "" if match else reason(name, left_out)
        port = known[match] if match else None if why else session.find(bare(name))
        if port is None:
            told = f"the graph has no tensor {name!r}; by default: {', '.join(known)}"
            raise SetupError(why or told, field=field)
        ports.append(port)
    return ports or list(defaults)
