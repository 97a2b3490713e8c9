"""Ask every exported file through its own library, and say how far the answers are apart."""

from pathlib import Path

import numpy as np

__all__ = ["TOLERANCE", "ask", "disagreement"]

TOLERANCE = 1e-4
"""How far the exports of one model may be apart, in the units of its output."""


def disagreement(
    expected: np.ndarray, answers: dict[str, np.ndarray], tolerance: float = TOLERANCE
) -> float:
    """Return the largest difference; raise RuntimeError when it is above the tolerance."""
    worst = 0.0
    for name, answer in answers.items():
        apart = float(np.abs(answer - expected).max())
        if not apart <= tolerance:  # a NaN is apart too
            raise RuntimeError(f"{name} differs from the trained network by {apart}")
        worst = max(worst, apart)
    return worst


def ask(file: Path, source: str, result: str, values: np.ndarray) -> np.ndarray:
    """Run the exported file on ``values`` with the library for its suffix; returns the output."""
    backend = {"": _savedmodel, ".tflite": _lite, ".pb": _frozen, ".onnx": _onnx}[file.suffix]
    return np.asarray(backend(str(file), source, result, values))


def _savedmodel(file: str, source: str, result: str, values: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    signature = tf.saved_model.load(file).signatures["serving_default"]
    return signature(**{source: values})[result].numpy()


def _frozen(file: str, source: str, result: str, values: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(Path(file).read_bytes())
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(f"{result}:0", {f"{source}:0": values})


def _lite(file: str, source: str, result: str, values: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=file, num_threads=1).get_signature_runner()
    return runner(**{source: values})[result]


def _onnx(file: str, source: str, result: str, values: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run([result], {source: values})[0]
