"""ONNX Runtime: what only it has."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gpfn.errors import InvalidTensor, ModelUnreadable, SetupError
from gpfn.models import open_model


def write(path: Path, nodes: list[object], inputs: list[object], outputs: list[object]) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_strings_have_to_be_utf8(made: Path) -> None:
    model = open_model(made / "pick.onnx")
    words = np.array([b"fine", b"\xff", b""], object)
    with pytest.raises(InvalidTensor, match="UTF-8") as caught:
        model({"words": words, "which": np.array([0], np.int32)})
    assert caught.value.field == "words"


def test_outputs_that_are_no_tensors_are_left_out(tmp_path: Path) -> None:
    zipped = helper.make_node(
        "ZipMap", ["x"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]
    )
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    maps = onnx.ValueInfoProto(name="z")
    maps.type.sequence_type.elem_type.map_type.key_type = TensorProto.INT64
    maps.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    copy = helper.make_node("Identity", ["x"], ["y"])
    tensor = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    model = open_model(write(tmp_path / "both.onnx", [zipped, copy], [value], [maps, tensor]))
    assert [spec.name for spec in model.outputs] == ["y"]
    assert model({"x": np.ones((1, 3), np.float32)})["y"].tolist() == [[1, 1, 1]]
    with pytest.raises(
        ModelUnreadable, match="no output is a tensor of a supported type"
    ) as caught:
        open_model(write(tmp_path / "maps.onnx", [zipped], [value], [maps]))
    assert "maps.onnx" in caught.value.detail


def test_inputs_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    several = onnx.ValueInfoProto(name="s")
    several.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    length = helper.make_node("SequenceLength", ["s"], ["n"])
    count = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    with pytest.raises(
        ModelUnreadable, match=r"input s has the unsupported type seq\(tensor\(float\)\)"
    ):
        open_model(write(tmp_path / "m.onnx", [length], [several], [count]))


def test_a_damaged_graph_gets_the_librarys_message(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node("NoSuchThing", ["x"], ["y"])
    tensor = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    with pytest.raises(ModelUnreadable, match="NoSuchThing"):
        open_model(write(tmp_path / "m.onnx", [node], [value], [tensor]))


def test_signatures_are_not_for_onnx(made: Path) -> None:
    with pytest.raises(SetupError) as caught:
        open_model(made / "order.onnx", signature="x")
    assert caught.value.field == "signature"


def test_without_onnxruntime_the_error_is_the_command(made: Path) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from gpfn.models import open_model\n"
        "try: open_model(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, made / "order.onnx"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == (
        "MissingExtra ONNX Runtime is not installed; run: pip install 'gpfn[onnx]'\n"
    )
