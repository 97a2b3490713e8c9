"""Keras' files and SavedModels: to ONNX, LiteRT, a SavedModel or a frozen graph.

All ways lead through a SavedModel, which Keras writes. Recurrent layers are unrolled for
LiteRT: their loops are operators that it does not run.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .saved_model import SIGNATURE, write
from .talk import Refused, first_line

__all__ = ["KerasSource", "SavedSource", "open_source"]

_CODE = {"Lambda", "__lambda__"}
_HDF5 = (".h5", ".hdf5")
_LOOPS = ("SimpleRNN", "LSTM", "GRU", "RNN")
_OPEN_STEPS = (
    "a recurrent layer runs in LiteRT only when it is unrolled, and its number of steps is open: "
    "give the model's Input a number of steps, or convert to ONNX"
)


def open_source(order: dict[str, Any]) -> SavedSource | KerasSource:
    """Open a folder as a SavedModel, anything else as Keras does."""
    path = order["path"]
    return SavedSource(path) if os.path.isdir(path) else KerasSource(path, trust=order["trust"])


class SavedSource:
    """A SavedModel's signature for serving."""

    def __init__(self, path: str) -> None:
        import tensorflow as tf

        self.path = path
        try:
            self._loaded = tf.saved_model.load(path)
        except Exception as error:
            raise Refused(f"TensorFlow cannot load it: {first_line(error)}") from error
        known = getattr(self._loaded, "signatures", {})
        if SIGNATURE not in known:
            told = ", ".join(map(str, known)) or "none"
            raise Refused(f"it has no signature {SIGNATURE}; its signatures: {told}")
        self._call = known[SIGNATURE]

    def convert(self, target: str, out: str) -> None:
        """Write it as ``onnx``, ``tflite`` or ``pb``."""
        write(self.path, target, out)

    def facts(self) -> dict[str, Any]:
        """Return its outputs' names, and the framework's."""
        import tensorflow as tf

        return {
            "framework": f"TensorFlow {tf.__version__}",
            "versions": _versions(),
            "outputs": sorted(self._call.structured_outputs),
        }

    def ask(self, names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Call the signature; arrays are by its names, or in the order of those."""
        import tensorflow as tf

        specs = self._call.structured_input_signature[1]
        by_name = dict(zip(names, arrays, strict=True))
        if set(by_name) != set(specs):
            by_name = dict(zip(sorted(specs), arrays, strict=True))
        given = {key: tf.constant(array, specs[key].dtype) for key, array in by_name.items()}
        found = self._call(**given)
        return [found[name].numpy() for name in sorted(found)]


class KerasSource:
    """A model in a ``.keras`` or ``.h5`` file."""

    def __init__(self, path: str, *, trust: bool) -> None:
        config = _config(path)
        if config is not None and not trust and _CODE & _layer_kinds(config):
            raise Refused(
                "it has a Lambda layer, which is code of whoever made the file; "
                "--trust runs it, in a process of its own"
            )
        self.model = _loaded(path, trust=trust)
        if not getattr(self.model, "inputs", None):
            raise Refused(
                "its inputs are not known before it has been called; call it once on an "
                "example where its code is, and save it again"
            )

    def convert(self, target: str, out: str) -> None:
        """Write it as ``onnx``, ``tflite``, ``saved`` or ``pb``."""
        if target == "saved":
            self.model.export(out, format="tf_saved_model", verbose=False)
            return
        with tempfile.TemporaryDirectory() as folder:
            try:
                model = _unrolled(self.model) if target == "tflite" else self.model
                model.export(folder, format="tf_saved_model", verbose=False)
            except ValueError as error:
                if "time dimension" not in str(error):
                    raise
                raise Refused(_OPEN_STEPS) from error
            write(folder, target, out)

    def facts(self) -> dict[str, Any]:
        """Return its outputs' names, and which whole numbers its embeddings know."""
        import keras

        return {
            "framework": f"Keras {keras.__version__}",
            "versions": {"keras": keras.__version__, **_versions()},
            "outputs": self._output_names(),
            "ranges": {name: [[0, size]] for name, size in self._embedded()},
        }

    def ask(self, names: Sequence[str], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return what ``model.predict`` gives, in the order of its outputs' names."""
        own = [tensor.name for tensor in self.model.inputs]
        by_name = dict(zip(names, arrays, strict=True))
        ordered = [by_name[name] for name in own] if set(own) == set(names) else list(arrays)
        shaped: Any = ordered[0] if len(ordered) == 1 else ordered
        if isinstance(getattr(self.model, "_inputs_struct", None), dict):
            shaped = dict(zip(self.model._inputs_struct, ordered, strict=True))
        found = self.model.predict(shaped, batch_size=max(1, len(arrays[0])), verbose=0)
        return _flat(found)

    def _output_names(self) -> list[str]:
        structure = getattr(self.model, "_outputs_struct", None)
        if isinstance(structure, dict):
            return sorted(structure)
        return [f"output_{at}" for at in range(len(self.model.outputs))]

    def _embedded(self) -> Iterator[tuple[str, int]]:
        """Yield the inputs that embeddings look up, each with how many things they know."""
        for layer in self.model._flatten_layers(include_self=False):
            if type(layer).__name__ != "Embedding":
                continue
            try:
                history = layer.input._keras_history.operation
            except (AttributeError, ValueError):  # not called, or on several inputs
                continue  # nothing is told of it
            if type(history).__name__ == "InputLayer":
                yield history.output.name, int(layer.input_dim)


def _flat(found: Any) -> list[np.ndarray]:
    if isinstance(found, dict):
        return [np.asarray(found[name]) for name in sorted(found)]
    return [np.asarray(each) for each in (found if isinstance(found, list | tuple) else [found])]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import tensorflow as tf

    return {"tensorflow": tf.__version__, "tf2onnx": version("tf2onnx")}


def _config(path: str) -> Any:
    """Return the layers that a file declares, before anything of it is made; None if unknown.

    What is read is what Keras will read, which goes by the name: HDF5 with a zip behind it is both.
    """
    try:
        if not path.endswith(_HDF5) and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py

        with h5py.File(path) as file:
            text = file.attrs.get("model_config")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Refused(f"it cannot be read as a Keras file: {first_line(error)}") from error
    if text is None:
        raise Refused(
            "it has weights without a model; make the model where its code is, load them, and "
            "save it as a .keras file"
        )
    return json.loads(text)


def _layer_kinds(config: Any) -> set[str]:
    """Return the names of all classes in a configuration, however deep."""
    if isinstance(config, list):
        return set().union(*map(_layer_kinds, config))
    if not isinstance(config, dict):
        return set()
    own = {config["class_name"]} if isinstance(config.get("class_name"), str) else set()
    return own.union(*map(_layer_kinds, config.values()))


def _loaded(path: str, *, trust: bool) -> Any:
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        text = str(error)
        unknown = re.search(r"(?:Could not locate class|Unknown layer:?) '?\"?(\w+)", text)
        if unknown:
            told = (
                f"its layer {unknown[1]} is code that is not in the file; where the code is, run "
                "model.export('saved'), and convert the folder saved"
            )
            raise Refused(told) from error
        if "safe_mode" in text:
            told = "it has code of whoever made the file; --trust runs it, in a process of its own"
            raise Refused(told) from error
        raise Refused(f"Keras cannot load it: {first_line(error)}") from error


def _unrolled(model: Any) -> Any:
    """Return the model with its recurrent layers unrolled; the same one if it has none."""
    config = model.get_config()
    if not {*_LOOPS} & _layer_kinds(config):
        return model
    made = type(model).from_config(_with_unroll(config))
    made.set_weights(model.get_weights())
    return made


def _with_unroll(config: Any) -> Any:
    if isinstance(config, list | tuple):
        return [_with_unroll(each) for each in config]
    if not isinstance(config, dict):
        return config
    changed = {key: _with_unroll(value) for key, value in config.items()}
    inner = changed.get("config")
    if config.get("class_name") in _LOOPS and isinstance(inner, dict):
        changed["config"] = {**inner, "unroll": True}
    return changed
