"""The frame of a .tflite file: signatures found, every cut and flip an error or an answer."""

import random
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert.schema_py_generated import ModelT
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import ModelUnreadable
from gpfn.models import open_model
from gpfn.models.tflite_file import signature_subgraphs


def test_signatures_and_their_subgraphs(made: Path, shared: Path) -> None:
    several = signature_subgraphs((made / "several.tflite").read_bytes(), "several.tflite")
    assert sorted(several) == ["thrice", "twice"]
    assert sorted(several.values()) == [0, 1]
    one = signature_subgraphs((made / "order.tflite").read_bytes(), "order.tflite")
    assert one == {"serving_default": 0}
    old = shared / "data" / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    assert signature_subgraphs(old.read_bytes(), "old") == {}


@pytest.mark.parametrize(
    ("scale", "zero_point", "told"),
    [
        (float("nan"), 0, "a scale of nan"),
        (float("inf"), 0, "a scale of inf"),
        (-0.5, 0, "a scale of -0.5"),
        (0.5, 256, "a zero point of 256"),
        (0.5, -1, "a zero point of -1"),
        (0.5, 2**62, "a zero point of 4"),
    ],
)
def test_quantisation_that_litert_would_crash_on(
    made: Path, tmp_path: Path, scale: float, zero_point: int, told: str
) -> None:
    whole = (made / "quantised.tflite").read_bytes()
    model = ModelT.InitFromPackedBuf(whole, 0)
    quantization = model.subgraphs[0].tensors[0].quantization
    quantization.scale, quantization.zeroPoint = [scale], [zero_point]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "m.tflite"
    path.write_bytes(builder.Output())
    with pytest.raises(ModelUnreadable, match=told) as caught:
        open_model(path)
    assert str(path) in caught.value.detail


def test_cuts_and_flips_never_escape(made: Path) -> None:
    whole = (made / "several.tflite").read_bytes()
    numbers = random.Random(3)
    broken = [whole[:size] for size in range(len(whole))]
    for _ in range(3000):
        changed = bytearray(whole)
        changed[numbers.randrange(len(whole))] = numbers.choice([0, 1, 127, 128, 255])
        broken.append(bytes(changed))
    refused = 0
    for content in broken:
        try:
            signature_subgraphs(content, "m.tflite")
        except ModelUnreadable as error:
            refused += "m.tflite" in error.detail
    assert refused > len(whole) / 2


@given(st.binary(max_size=80))
def test_any_bytes_behind_the_identifier(rest: bytes) -> None:
    with pytest.raises(ModelUnreadable):
        signature_subgraphs(rest[:4].ljust(4, b"\0") + b"TFL3" + rest[4:], "m.tflite")
