"""PyTorch's exported programs, and modules that the user's code makes: to ONNX or LiteRT."""

from __future__ import annotations

import inspect
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from .talk import Refused, first_line

__all__ = ["TorchSource", "open_source"]

_PICKLED = "it has pickled objects; --trust lets them run their code"


def open_source(order: dict[str, Any]) -> TorchSource:
    """Open an exported program, a pickled module, or what a factory makes."""
    import torch

    torch.set_num_threads(1)
    if order["factory"]:
        return _from_factory(order)
    if order["kind"] in ("torch_program", "torch_code"):
        try:
            with warnings.catch_warnings(), _unpickling(tensors_only=not order["trust"]):
                warnings.simplefilter("ignore")
                program = torch.export.load(order["path"])
        except Exception as error:
            if "Weights only load failed" in str(error):
                raise Refused(_PICKLED) from error
            raise Refused(f"PyTorch cannot load it: {first_line(error)}") from error
        return TorchSource(program, None, order)
    try:
        module = torch.load(order["path"], map_location="cpu", weights_only=False)
    except (ModuleNotFoundError, AttributeError) as error:
        told = f"the pickle needs code that is not there: {error}"
        raise Refused(f"{told}; run gpfn where that code can be imported") from error
    return _of_module(module, _examples(order), order)


@contextmanager
def _unpickling(*, tensors_only: bool) -> Iterator[None]:
    """Let ``torch.export.load`` take tensors out of pickles, and no other objects."""
    import torch

    load, loads, custom = torch.load, pickle.loads, torch._C._pickle_load_obj

    def refuse(*_: Any, **__: Any) -> Any:
        raise Refused(_PICKLED)

    if tensors_only:
        torch.load = lambda *words, **more: load(*words, **{**more, "weights_only": True})
        pickle.loads = torch._C._pickle_load_obj = refuse
    try:
        yield
    finally:
        torch.load, pickle.loads, torch._C._pickle_load_obj = load, loads, custom


def _from_factory(order: dict[str, Any]) -> TorchSource:
    """Call the user's factory: it returns a module or a learner, alone or with an example."""
    import torch

    name, _, function = order["factory"].partition(":")
    name = name.removesuffix(".py")
    try:
        code = import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name.partition(".")[0]:
            raise Refused(f"no module {error.name} in {order['folder']}") from error
        raise Refused(
            f"{name} needs the package {error.name}, which is not in this environment; --python "
            "names the Python of one that has it, with torch and onnxscript"
        ) from error
    if not callable(getattr(code, function, None)):
        raise Refused(f"{name} has no function {function}")
    made = getattr(code, function)()
    examples = _examples(order)
    if isinstance(made, tuple):
        module, *given = made
        inner = given[0] if len(given) == 1 and isinstance(given[0], tuple | list) else given
        examples = examples or tuple(inner)
    else:
        module = made
    if not isinstance(module, torch.nn.Module) and isinstance(
        getattr(module, "model", None), torch.nn.Module
    ):
        module = module.model  # a learner of fast.ai
    if order["state"]:
        _load_state(module, order["state"])
    return _of_module(module, examples, order)


def _of_module(module: Any, examples: tuple[Any, ...], order: dict[str, Any]) -> TorchSource:
    import torch

    if not isinstance(module, torch.nn.Module):
        raise Refused(f"expected a torch.nn.Module, got a {type(module).__name__}")
    if not examples:
        raise Refused(
            "its inputs are not known: let the factory return (model, example), or give an "
            "example by --sample FILE.npy, one for each input in order"
        )
    module = module.eval().cpu()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return TorchSource(module, tuple(torch.as_tensor(example) for example in examples), order)


def _examples(order: dict[str, Any]) -> tuple[Any, ...]:
    import torch

    files = order["examples"]
    return tuple(torch.from_numpy(np.load(path, allow_pickle=False)) for path in files)


def _load_state(module: Any, path: str) -> None:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Refused(f"--state: PyTorch cannot load it as weights: {first_line(error)}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise Refused(f"--state: expected a state_dict, got a {type(state).__name__}")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        told = " ".join(str(error).split())[:400]
        raise Refused(f"--state does not fit what the factory makes: {told}") from error


class TorchSource:
    """An exported program, or a module with an example of its inputs."""

    def __init__(self, model: Any, examples: tuple[Any, ...] | None, order: dict[str, Any]) -> None:
        self._lite = order["target"] == "tflite"
        self._program: Any = None
        self._names: list[str] = []
        if examples is None:
            self._program, self._module = model, model.module()
            given, _ = model.example_inputs or ((), {})
            examples = tuple(given)
        else:
            self._module = model
            self._names = _argument_names(model, len(examples))
        self._examples = examples
        self._outputs: list[str] = []

    def convert(self, target: str, out: str) -> None:
        """Write it as ``onnx``, or as ``tflite`` by litert-torch."""
        import torch

        if target == "tflite":
            self._write_lite(out)
            return
        if self._program is None:
            self._program = _exported(self._module, _several_rows(self._examples))
        signature = self._program.graph_signature
        self._names = self._names or [str(name) for name in signature.user_inputs]
        count = len(signature.user_outputs)
        self._outputs = ["output"] if count == 1 else [f"output_{at}" for at in range(count)]
        try:
            torch.onnx.export(
                self._program,
                (),
                out,
                dynamo=True,
                external_data=False,
                input_names=self._names,
                output_names=self._outputs,
                verbose=False,
            )
        except Exception as error:
            raise Refused(f"PyTorch cannot write it as ONNX: {first_line(error)}") from error
        _forget_sources(out)

    def _write_lite(self, out: str) -> None:
        import litert_torch

        if not self._examples:
            raise Refused("the program has no example of its inputs; export it again with one")
        module = self._module
        try:
            litert_torch.convert(module, tuple(self._examples)).export(out)
        except Exception as error:
            raise Refused(
                f"litert-torch cannot write it: {first_line(error)}; convert to ONNX"
            ) from error

    def facts(self) -> dict[str, Any]:
        """Return names and versions."""
        from importlib.metadata import version

        import torch

        with_ = "litert-torch" if self._lite else "onnxscript"
        return {
            "framework": f"PyTorch {torch.__version__}",
            "versions": {"torch": torch.__version__, with_: version(with_)},
            "outputs": self._outputs,
            "inputs": [] if self._lite else self._names,
        }

    def ask(self, names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Call the module in eval mode; outputs are in the order in which it returns them."""
        import torch

        by_name = dict(zip(names, arrays, strict=True))
        ordered = [by_name[n] for n in self._names] if set(self._names) == set(names) else arrays
        with torch.no_grad():
            found = self._module(*[torch.from_numpy(np.ascontiguousarray(a)) for a in ordered])
        return [tensor.detach().numpy() for tensor in _flat(found)]


def _forget_sources(out: str) -> None:
    """Remove what the exporter notes of every operator: the lines of source and their paths."""
    import onnx

    model = onnx.load(out)
    for graph in (model.graph, *model.functions):
        values = [*graph.value_info]
        if isinstance(graph, onnx.GraphProto):  # a function's inputs are names alone
            values += [*graph.input, *graph.output, *graph.initializer]
        for part in (graph, *graph.node, *values):
            del part.metadata_props[:]
            part.doc_string = ""
    del model.metadata_props[:]
    onnx.save(model, out)


def _exported(module: Any, examples: tuple[Any, ...]) -> Any:
    """Return the program with an open first axis, or with the example's where that cannot be."""
    import torch

    shapes = tuple({0: torch.export.Dim.AUTO} if each.ndim else None for each in examples)
    try:
        try:
            return torch.export.export(module, examples, dynamic_shapes=shapes)
        except (TypeError, AttributeError, ImportError):
            raise
        except Exception as error:  # noqa: BLE001 - some graph's sizes cannot be open
            print(f"with open sizes: {first_line(error)}")
            return torch.export.export(module, examples)
    except Exception as error:
        raise Refused(
            f"PyTorch cannot export it: {first_line(error)}; a forward without control flow by "
            "values can be exported"
        ) from error


def _several_rows(examples: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the examples with two rows at least: an axis of 1 is not taken as open."""
    import torch

    if {each.shape[0] for each in examples if each.ndim} == {1}:
        return tuple(torch.cat([each, each]) if each.ndim else each for each in examples)
    return examples


def _argument_names(module: Any, count: int) -> list[str]:
    names = [*inspect.signature(module.forward).parameters][:count]
    return names if len(names) == count else [f"input_{at}" for at in range(count)]


def _flat(found: Any) -> list[Any]:
    import torch

    if isinstance(found, torch.Tensor):
        return [found]
    each = found.values() if isinstance(found, dict) else found
    return [tensor for part in each for tensor in _flat(part)]
