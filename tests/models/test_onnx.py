"""ONNX Runtime: what only it has."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gpfn.cli.main import main
from gpfn.errors import InvalidTensor, ModelFailed, ModelUnreadable, SetupError
from gpfn.models import open_model
from gpfn.models.onnx_values import class_labels, output_of
from gpfn.tensors.spec import TensorSpec
from tests.alone import alone, resident


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


X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
ROWS = np.array([[0.5, 0.25, 0.125], [1.0, 2.0, 3.0]], np.float32)


def classifier(path: Path, **labels: object) -> Path:
    """A ZipMap, as converters of classifiers put it behind the probabilities."""
    zipped = helper.make_node("ZipMap", ["x"], ["z:0"], domain="ai.onnx.ml", **labels)
    text = "classlabels_strings" in labels
    maps = onnx.ValueInfoProto(name="z:0")
    kind = maps.type.sequence_type.elem_type.map_type
    kind.key_type = TensorProto.STRING if text else TensorProto.INT64
    kind.value_type.tensor_type.elem_type = TensorProto.FLOAT
    return write(path, [zipped, helper.make_node("Identity", ["x"], ["y"])], [X], [maps, Y])


@pytest.mark.parametrize(
    "labels",
    [
        {"classlabels_int64s": [0, 1, 2]},
        {"classlabels_int64s": [7, -3, 1 << 40]},
        {"classlabels_strings": ["setosa", "Versicolor", "\u00e4"]},
    ],
)
def test_a_classifiers_mappings_are_probabilities_in_the_order_of_its_labels(
    tmp_path: Path, labels: dict[str, list[object]]
) -> None:
    model = open_model(classifier(tmp_path / "m.onnx", **labels))
    assert model.outputs == (
        TensorSpec("float32", (None, 3), "z"),
        TensorSpec("float32", (None, 3), "y"),
    )
    assert model.labels == {"z": tuple(*labels.values())}
    assert model.left_out == {}
    for rows in (ROWS, ROWS[:1], ROWS[:0]):
        given = model({"x": rows})
        assert given["z"].dtype == np.float32
        assert given["z"].tolist() == given["y"].tolist() == rows.tolist()
    assert model({"x": ROWS}, outputs=["z:0"])["z"].tolist() == ROWS.tolist()


def test_labels_that_stand_nowhere_at_the_top_are_those_of_the_rows(tmp_path: Path) -> None:
    """The ZipMap stands in a branch: its labels are not looked for, the rows have them."""
    path = classifier(tmp_path / "m.onnx", classlabels_strings=["b", "a", "c"])
    whole = onnx.load(path)
    whole.graph.node[0].op_type = "Other"
    assert class_labels(str(path)) == {"z:0": ("b", "a", "c")}
    path.write_bytes(whole.SerializeToString())
    assert class_labels(str(path)) == {}
    end = Mock(type="seq(map(string,tensor(float)))")
    output = output_of(end, "z", ())
    assert output.spec == TensorSpec("float32", (None, None), "z")
    assert output.read([{"b": 1.0, "a": 2.0}, {"a": 3.0, "b": 4.0}]).tolist() == [[2, 1], [3, 4]]
    assert output.read([]).shape == (0, 0)
    with pytest.raises(ModelFailed, match="the rows of z have not the same classes"):
        output.read([{"b": 1.0}, {"a": 3.0}])


def test_a_locale_that_is_not_here_is_told_with_what_to_do(tmp_path: Path) -> None:
    node = helper.make_node(
        "StringNormalizer", ["t"], ["u"], case_change_action="LOWER", locale="xx_YY.UTF-8"
    )
    ends = [helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in "tu"]
    path = write(tmp_path / "m.onnx", [node], ends[:1], ends[1:])
    with pytest.raises(ModelUnreadable) as caught:
        open_model(path)
    told = "(its texts need the locale xx_YY.UTF-8, which is not installed here: install it, or"
    assert str(caught.value).startswith(f"ONNX Runtime cannot open it {told}")
    assert "\n" not in str(caught.value)


def sequence(name: str, kind: int) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=name)
    info.type.sequence_type.elem_type.tensor_type.elem_type = kind
    return info


def test_a_sequence_of_tensors_of_one_shape_is_an_array(tmp_path: Path) -> None:
    split = helper.make_node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=0)
    model = open_model(write(tmp_path / "m.onnx", [split], [X], [sequence("s", TensorProto.FLOAT)]))
    assert model.outputs == (TensorSpec("float32", None, "s"),)
    assert model({"x": ROWS})["s"].tolist() == ROWS.T.tolist()
    pieces = onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "pieces")
    split = helper.make_node("SplitToSequence", ["x", "pieces"], ["s"], axis=1)
    path = write(tmp_path / "m.onnx", [split], [X], [sequence("s", TensorProto.FLOAT)])
    whole = onnx.load(path)
    whole.graph.initializer.append(pieces)
    path.write_bytes(whole.SerializeToString())
    with pytest.raises(ModelFailed, match=r"s is a sequence .* other shapes \(\(2, 1\), \(2, 2\)"):
        open_model(path)({"x": ROWS})


def test_a_sequence_of_strings_is_an_array_of_bytes(tmp_path: Path) -> None:
    words = helper.make_tensor_value_info("w", TensorProto.STRING, ["n"])
    made = helper.make_node("SequenceConstruct", ["w", "w"], ["s"])
    path = write(tmp_path / "m.onnx", [made], [words], [sequence("s", TensorProto.STRING)])
    given = open_model(path)({"w": np.array([b"a", "\u00e4".encode()], object)})["s"]
    assert given.tolist() == [[b"a", "\u00e4".encode()]] * 2


def half_precision(path: Path, *more: onnx.ValueInfoProto) -> Path:
    """An output of bfloat16, and what else is wanted."""
    brain = helper.make_tensor_value_info("b", TensorProto.BFLOAT16, ["n", 3])
    cast = helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16)
    return write(path, [cast, helper.make_node("Identity", ["x"], ["y"])], [X], [brain, *more])


def test_an_output_that_cannot_be_used_is_left_out_and_named(tmp_path: Path) -> None:
    path = half_precision(tmp_path / "m.onnx", Y)
    told = "tensor(bfloat16), which no array here holds; cast it to float32 in the model"
    model = open_model(path)
    assert [spec.name for spec in model.outputs] == ["y"]
    assert model.left_out == {"b": told}
    assert model({"x": ROWS})["y"].tolist() == ROWS.tolist()
    for name in ("b", "b:0"):
        with pytest.raises(InvalidTensor) as caught:
            model({"x": ROWS}, outputs=["y", name])
        assert (caught.value.detail, caught.value.field) == (f"b is a {told}", name)
    with pytest.raises(SetupError) as refused:
        open_model(path, outputs=["b"])
    assert (refused.value.detail, refused.value.field) == (f"b is a {told}", "outputs")
    with pytest.raises(ModelUnreadable) as unreadable:
        open_model(half_precision(path))
    assert unreadable.value.detail == f"no output can be used: b is a {told}: {path}"


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


def kept_after_a_large_batch(path: Path) -> int:
    model = open_model(path)
    model({"series": np.zeros((1, 20, 1), np.float32)})
    before = resident()
    model({"series": np.zeros((20_000, 20, 1), np.float32)})
    return resident() - before


def test_the_memory_of_a_large_batch_is_not_kept(root: Path) -> None:
    kept = alone(kept_after_a_large_batch, root / "models" / "forecast.onnx")
    assert kept < 100 << 20, "of the 700 MB that it took"


@pytest.mark.parametrize(
    ("domain", "operator", "opsets", "version", "told"),
    [
        ("", "Mine", {"": 17}, 8, "it has no operator Mine; export the model with the operators"),
        (
            "com.mine",
            "Mine",
            {"": 17, "com.mine": 1},
            8,
            "it has no operator com.mine:Mine; export",
        ),
        ("", "Abs", {"": 99}, 8, "the model has opset 99 of ai.onnx, and it knows up to "),
        ("", "Abs", {"": 17, "ai.onnx.ml": 99}, 8, "the model has opset 99 of ai.onnx.ml, and it"),
        ("", "Abs", {"": 17}, 99, "the model has IR version 99, and it knows up to "),
    ],
)
def test_what_is_too_new_or_its_own_is_told_with_what_to_do(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    domain: str,
    operator: str,
    opsets: dict[str, int],
    version: int,
    told: str,
) -> None:
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    model = helper.make_model(
        helper.make_graph([node], "g", [X], [Y]),
        opset_imports=[helper.make_opsetid(*each) for each in opsets.items()],
        ir_version=version,
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelUnreadable) as caught:
        open_model(path)
    assert caught.value.detail.startswith(f"ONNX Runtime cannot open it ({told}")
    assert caught.value.detail.endswith(f"): {path}")
    assert main(["models", "show", str(path)]) == 1
    assert len(capfd.readouterr().err.splitlines()) == 1  # no trace: nobody's code but theirs
