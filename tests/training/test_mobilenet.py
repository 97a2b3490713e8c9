"""The network of floats sees what the quantised MobileNet sees."""

from pathlib import Path

import numpy as np
import pytest
from mobilenet import Features

from gpfn.errors import SetupError
from gpfn.images.preparation import ImageInput, prepare
from tests.conftest import ROOT

V1, V2 = "mobilenet_v1_0.25_128_quant.tflite", "mobilenet_v2_1.0_224_quant.tflite"


def pooled(tflite: Path, rows: np.ndarray, size: int) -> np.ndarray:
    """Return what the quantised network has behind its pooling, as real numbers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(tflite), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    (place,) = (
        each for each in interpreter.get_tensor_details() if [*each["shape"]] == [1, 1, 1, size]
    )
    (source,) = interpreter.get_input_details()
    found = []
    for row in rows:
        interpreter.set_tensor(source["index"], row[np.newaxis])
        interpreter.invoke()
        found.append(interpreter.get_tensor(place["index"]).ravel() * place["quantization"][0])
    return np.array(found)


@pytest.mark.parametrize(("name", "side", "size"), [(V1, 128, 256), (V2, 224, 1280)])
def test_its_features_are_those_of_the_quantised_one_but_for_rounding(
    name: str, side: int, size: int, shared: Path
) -> None:
    tflite = shared / "data" / "models" / name
    spec = ImageInput(size=side, fit="crop")
    files = sorted((shared / "data" / "images").iterdir())
    rows = np.concatenate([prepare(path.read_bytes(), spec, 24_000_000) for path in files])
    features = Features(tflite)
    found = features(rows).numpy()
    assert features.size == size
    assert found.shape == (len(files), size)
    for own, wanted in zip(found, pooled(tflite, rows, size), strict=True):
        assert np.corrcoef(own, wanted)[0, 1] > 0.99
        assert np.abs(own - wanted).max() < 0.5  # of up to 6
    alone = features(rows[1:2]).numpy()
    assert np.abs(alone - found[1:2]).max() < 1e-4
    assert not np.allclose(features(rows[:, :, ::-1]).numpy(), found, atol=0.1)


@pytest.mark.parametrize(
    "content", [b"", b"not a model", (ROOT / "models/digits.tflite").read_bytes()]
)
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.tflite").write_bytes(content)
    with pytest.raises(SetupError, match=r"--base: other\.tflite is no quantised MobileNet"):
        Features(tmp_path / "other.tflite")
