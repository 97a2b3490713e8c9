"""From a SavedModel to ONNX, LiteRT and a frozen graph."""

from __future__ import annotations

import re
import sys

from .talk import Refused, first_line

__all__ = ["SIGNATURE", "write"]

SIGNATURE = "serving_default"
"""The one that is converted."""

_OPSET = "17"  # old enough for every onnxruntime that gpfn accepts
_SHOWN = 6


def write(folder: str, target: str, out: str) -> None:
    """Write the SavedModel in ``folder`` as ``onnx``, ``tflite`` or ``pb``; raises Refused."""
    {"onnx": _write_onnx, "tflite": _write_lite, "pb": _write_frozen}[target](folder, out)


def _write_onnx(folder: str, out: str) -> None:
    from tf2onnx import convert

    words = ["--saved-model", folder, "--output", out, "--opset", _OPSET]
    sys.argv = ["tf2onnx", *words, "--signature_def", SIGNATURE]
    try:
        convert.main()
    except Exception as error:
        raise Refused(
            f"tf2onnx cannot write it as ONNX: {first_line(error)}; a SavedModel runs as it is, "
            "by TensorFlow"
        ) from error


def _write_lite(folder: str, out: str) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
    try:
        data = converter.convert()
    except Exception as error:
        if not (found := _beyond_lite(str(error))):
            told = f"LiteRT's converter fails: {first_line(error)}; convert to ONNX"
            raise Refused(told) from error
        raise Refused(
            f"LiteRT does not run {', '.join(found[:_SHOWN])}: convert to ONNX; of a SavedModel "
            "with recurrent layers, convert the .keras file, whose layers are unrolled"
        ) from error
    with open(out, "wb") as file:
        file.write(data)


def _beyond_lite(text: str) -> list[str]:
    """Return the operators that a converter's message names as none of LiteRT's."""
    listed = re.findall(r"(?:Flex|Custom) ops: ([\w, ]+)", text)
    named = [word for words in listed for word in re.split(r"[, ]+", words) if word]
    placed = re.findall(r'fused\["(\w+):"', text)
    return [*dict.fromkeys(named or [name for name in placed if not name.endswith("Call")])]


def _write_frozen(folder: str, out: str) -> None:
    """Write a graph with its weights; the last operations have the outputs' names."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(folder)  # has the variables, so it has to stay
    call = loaded.signatures[SIGNATURE]
    function = convert_variables_to_constants_v2(call)
    names = [tensor.name for tensor in function.outputs]
    with tf.Graph().as_default() as graph:
        definition = function.graph.as_graph_def()
        outputs = tf.graph_util.import_graph_def(definition, return_elements=names, name="")
        for name, output in zip(sorted(call.structured_outputs), outputs, strict=True):
            tf.identity(output, name=name)
    with open(out, "wb") as file:
        file.write(graph.as_graph_def().SerializeToString(deterministic=True))
