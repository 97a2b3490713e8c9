"""Write one trained network in every format that gpfn's backends read.

All files name their input and their output alike, and all leave the batch dimension open.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike

__all__ = ["Exporter"]

_OPSET = 17  # old enough for every onnxruntime that gpfn accepts


class Exporter:
    """A network, with the names and the shapes of its inputs and outputs in the exports."""

    def __init__(
        self,
        network: tf.Module,
        shape: tuple[int | None, ...],
        *,
        source: str,
        result: str,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.source, self.result = source, result
        self._signature = [tf.TensorSpec(shape, dtype, name=source)]
        self._module = tf.Module()
        self._module.network = network  # so that the SavedModel holds its variables
        self._module.serve = tf.function(
            lambda values: {result: network(values)}, input_signature=self._signature
        )

    def all(self, folder: Path, names: Sequence[str]) -> None:
        """Write LiteRT, a frozen graph, ONNX and a SavedModel, under these names in this order."""
        lite, frozen, onnx, savedmodel = (folder / name for name in names)
        self.savedmodel(savedmodel)
        self.lite(savedmodel, lite)
        self.frozen(frozen)
        self.onnx(onnx)

    def savedmodel(self, folder: Path) -> None:
        """Write a SavedModel: tag ``serve``, signature ``serving_default``."""
        tf.saved_model.save(self._module, str(folder), signatures=self._module.serve)

    def lite(self, savedmodel: Path, file: Path) -> None:
        """Convert the SavedModel for LiteRT; the batch can be resized at run time."""
        file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(savedmodel)).convert())

    def frozen(self, file: Path) -> None:
        """Write a frozen graph with one placeholder and one operation that nothing reads.

        Those are what graphpipe-tf takes for the defaults of its inputs and outputs.
        """
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        function = convert_variables_to_constants_v2(self._module.serve.get_concrete_function())
        with tf.Graph().as_default() as graph:
            (output,) = tf.graph_util.import_graph_def(
                function.graph.as_graph_def(), return_elements=[function.outputs[0].name], name=""
            )
            tf.identity(output, name=self.result)
        file.write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))

    def onnx(self, file: Path) -> None:
        """Convert for onnxruntime."""
        import tf2onnx

        logging.getLogger("tf2onnx").setLevel(logging.WARNING)
        tf2onnx.convert.from_function(
            self._module.serve,
            input_signature=self._signature,
            opset=_OPSET,
            output_path=str(file),
        )
