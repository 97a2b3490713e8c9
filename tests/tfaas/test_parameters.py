"""params.json in all its spellings, and hostile ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpfn.errors import InvalidRequest, TooLarge
from gpfn.images.preparation import ImageInput
from gpfn.tfaas.parameters import PARAMETERS_BYTES, read_parameters
from tests.tfaas.recordings import exchanges

IMAGE = {
    "height": 28,
    "width": 28,
    "channels": "L",
    "layout": "NHWC",
    "quantised": False,
    "fit": "stretch",
    "mean": [0],
    "std": [255.0],
}


def read(document: Any) -> Any:
    """Read a document as params.json."""
    return read_parameters(json.dumps(document).encode())


@pytest.mark.parametrize("key", ["inputNode", "input_node", "input_name", "INPUTNODE"])
@pytest.mark.parametrize("name", ["x", "x:0"])
def test_all_spellings_name_the_input(key: str, name: str) -> None:
    found = read({key: name, key.lower().replace("input", "output"): "y:0"})
    assert (found.input, found.output) == ("x", "y")


def test_both_kinds_of_names_are_kept_apart() -> None:
    found = read({"input_node": "x", "input_name": "serving_default_inputs_input"})
    assert (found.input_node, found.input_name) == ("x", "serving_default_inputs_input")


@pytest.mark.parametrize("key", ["img_channels", "ImgChannels", "imgchannels"])
def test_channels(key: str) -> None:
    assert read({key: 3}).channels == 3
    assert read({key: None}).channels == 0


def test_what_is_not_known_is_kept() -> None:
    document = {"name": "dnn", "mine": [1, {"a": None}], "options": ["o"], "op": "", "labels": None}
    found = read(document)
    assert found.uploaded == document
    assert (found.name, found.options, found.labels, found.image) == ("dnn", ["o"], "", None)


def test_recorded_parameters_are_read(shared: Path) -> None:
    count = 0
    for exchange in exchanges(shared):
        if exchange.path.startswith("/params/") and exchange.status == 200:
            found = read_parameters(exchange.reply)
            assert found.name == exchange.path.rpartition("/")[2]
            assert (found.input, found.output) == ("x", "out")
            count += 1
    assert count >= 2


def test_the_image_block_is_that_of_a_model_toml() -> None:
    assert read({"image": IMAGE}).image == ImageInput(
        28, 28, channels="L", mean=(0.0,), std=(255.0,)
    )
    plain = {key: value for key, value in IMAGE.items() if key not in ("mean", "std")}
    assert read({"image": {**plain, "quantised": True}}).image.mean == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("height", 0),
        ("width", 1e9),
        ("channels", "RGBA"),
        ("layout", None),
        ("quantised", 1),
        ("quantised", True),
        ("fit", ["stretch"]),
        ("mean", [1, 2]),
        ("mean", [10**400]),
        ("std", [0]),
        ("std", ["1"]),
        ("heigth", 28),
    ],
)
def test_a_wrong_image_block_is_named(key: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read({"image": {**IMAGE, key: value}})
    expected = "mean" if value is True else key
    assert refused.value.field == f"params.image.{expected}"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "params"),
        ("x", "params"),
        ({"name": 7}, "params.name"),
        ({"inputNode": ["x"]}, "params.input_node"),
        ({"img_channels": "3"}, "params.img_channels"),
        ({"img_channels": 2}, "params.img_channels"),
        ({"img_channels": True}, "params.img_channels"),
        ({"description": "x" * 10_001}, "params.description"),
        ({"image": 7}, "params.image"),
    ],
)
def test_what_is_wrong_is_named(document: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(document)
    assert refused.value.field == field


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(TooLarge):
        read_parameters(b" " * (PARAMETERS_BYTES + 1))
    deep: object = {}
    for _ in range(31):
        deep = {"a": deep}
    assert read(deep).name == ""
    for document in ({"a": deep}, {"a": [[deep]]}):
        with pytest.raises(InvalidRequest, match="32 levels"):
            read(document)
    for text in (b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"{"):
        with pytest.raises(InvalidRequest):
            read_parameters(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
KEYS = ["name", "inputNode", "output_name", "img_channels", "image", "options", "x"]


@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.just(IMAGE)))
def test_anything_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        found = read(document)
    except (InvalidRequest, TooLarge):
        return
    assert set(found.uploaded) == set(document)
