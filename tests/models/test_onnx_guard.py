"""What an ONNX model may have in it: domains, subgraphs, functions, files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from gpfn.errors import ModelRefused
from gpfn.models.onnx_guard import CONTRIBUTED
from gpfn.models.operators import check_operators

OPSETS = [
    helper.make_opsetid(domain, version)
    for domain, version in (("", 17), ("com.microsoft", 1), ("pkg.mine", 1), ("evil", 1))
]


def node(op: str, domain: str = "", name: str = "n", **attributes: object) -> NodeProto:
    return helper.make_node(op, ["x"], ["y"], name, domain=domain, **attributes)


def graph(*nodes: NodeProto, name: str = "g") -> GraphProto:
    value = helper.make_tensor_value_info
    ends = [[value(each, TensorProto.FLOAT, ["n"])] for each in ("x", "y")]
    return helper.make_graph(list(nodes), name, ends[0], ends[1])


def function(name: str, *nodes: NodeProto, domain: str = "pkg.mine") -> FunctionProto:
    return helper.make_function(domain, name, ["x"], ["y"], list(nodes), OPSETS)


def model(*nodes: NodeProto, functions: Sequence[FunctionProto] = ()) -> ModelProto:
    made: ModelProto = helper.make_model(
        graph(*nodes), opset_imports=OPSETS, functions=list(functions), ir_version=8
    )
    return made


def check(folder: Path, made: ModelProto) -> None:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    check_operators(path, "onnx")


def refusal(folder: Path, made: ModelProto) -> str:
    with pytest.raises(ModelRefused) as caught:
        check(folder, made)
    assert caught.value.field == "model"
    assert str(folder) not in caught.value.detail
    return caught.value.detail


def test_what_computes_passes(tmp_path: Path) -> None:
    branch = graph(node("Neg"))
    half = function("Half", node("Neg"), node("Half", "pkg.mine.deep"))
    deep = function("Half", node("Neg"), domain="pkg.mine.deep")
    unary = [node("If", then_branch=branch, else_branch=branch), node("Gelu", "com.microsoft")]
    unary += [node("Half", "pkg.mine"), node("Scaler", "ai.onnx.ml"), node("Relu", "ai.onnx")]
    check(tmp_path, model(*unary, functions=[half, deep]))


@pytest.mark.parametrize(
    ("op", "domain"),
    [
        ("Run", "evil"),
        ("PyOp", "ai.onnx.contrib"),
        ("Adam", "ai.onnx.preview.training"),
        ("ATen", "org.pytorch.aten"),
        ("EPContext", "com.microsoft"),
        ("Snpe", "com.microsoft"),
        ("Conv", "com.microsoft.nchwc"),
        ("Relu", "ai.onnx "),
        ("Relu", "AI.ONNX"),
    ],
)
def test_other_domains(tmp_path: Path, op: str, domain: str) -> None:
    told = f"the operator '{op}' of the domain '{domain}' (node 'bad') is not allowed"
    bad = node(op, domain, "bad")
    inner = graph(node("Neg"), node("If", then_branch=graph(bad), else_branch=graph(node("Neg"))))
    for made in (
        model(bad),
        model(node("If", then_branch=inner, else_branch=graph(node("Neg")))),
        model(node("Neg"), functions=[function("Unused", bad)]),
        model(node("Loop", body=inner)),
    ):
        assert told in refusal(tmp_path, made)


def test_a_function_does_not_cover_an_operator_of_the_runtime(tmp_path: Path) -> None:
    for op, domain in (("EPContext", "com.microsoft"), ("Conv", "com.microsoft.nchwc")):
        cover = function(op, node("Neg"), domain=domain)
        assert f"'{op}'" in refusal(tmp_path, model(node(op, domain), functions=[cover]))


def test_functions_that_call_themselves(tmp_path: Path) -> None:
    one = function("One", node("Two", "pkg.mine"))
    two = function("Two", graph_node := node("One", "pkg.mine"))
    assert graph_node.domain == "pkg.mine"
    for nodes in ([node("One", "pkg.mine")], [node("Neg")]):
        assert "calls itself" in refusal(tmp_path, model(*nodes, functions=[one, two]))
    assert "two functions" in refusal(tmp_path, model(node("Neg"), functions=[one, one]))


def test_functions_that_explode(tmp_path: Path) -> None:
    functions = [
        function(f"F{n}", *[node(f"F{n + 1}", "pkg.mine") for _ in range(10)]) for n in range(9)
    ]
    functions.append(function("F9", node("Neg")))
    made = model(node("F0", "pkg.mine"), functions=functions)
    assert "more than 1000000 operators" in refusal(tmp_path, made)
    check(tmp_path, model(node("F5", "pkg.mine"), functions=functions[5:]))


def test_graphs_in_graphs(tmp_path: Path) -> None:
    deep = graph(node("Neg"))
    for _ in range(20):
        deep = graph(node("Loop", body=deep))
    check(tmp_path, model(*deep.node))
    data = b""
    for number in (*[6, 5, 1] * 100, 7):  # deeper than protobuf itself reads
        size, rest = b"", len(data)
        while rest > 0x7F:
            size, rest = size + bytes([rest & 0x7F | 0x80]), rest >> 7
        data = bytes([number << 3 | 2]) + size + bytes([rest]) + data
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(ModelRefused, match="messages deep"):
        check_operators(tmp_path / "model.onnx", "onnx")


def outside(location: str, data_location: int = 1) -> ModelProto:
    """Make a model with a tensor elsewhere."""
    tensor = onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = data_location
    tensor.external_data.add(key="location", value=location)
    constant = node("Constant", value=tensor)
    return model(node("If", then_branch=graph(constant), else_branch=graph(node("Neg"))))


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "/etc/passwd",
        "a/../../secret",
        "",
        "a\\..\\..\\b",
        "*/_ORT_MEM_ADDR_/*",
        "link",
    ],
)
@pytest.mark.parametrize("data_location", [0, 1])
def test_tensors_outside_of_the_folder(tmp_path: Path, location: str, data_location: int) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(16))
    (folder / "link").symlink_to("../secret")
    told = refusal(folder, outside(location, data_location))
    assert "is outside of the model's folder" in told


def test_tensors_beside_the_model(tmp_path: Path) -> None:
    assert "needs the file 'd/w.bin'" in refusal(tmp_path, outside("d/w.bin"))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "w.bin").write_bytes(bytes(16))
    check(tmp_path, outside("d/w.bin"))


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    made = model(node("Neg", name="x")).SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(made + b"\x3a\x0e\x0a\x0c\x22\x03Neg\x3a\x00\x22\x03Abs")
    with pytest.raises(ModelRefused, match="twice"):
        check_operators(path, "onnx")


def test_the_list_is_of_operators_that_there_are() -> None:
    state = onnxruntime.capi.onnxruntime_pybind11_state
    schemas = state.get_all_operator_schema()
    known = {each.name for each in schemas if each.domain == "com.microsoft"}
    assert known >= CONTRIBUTED
    assert not CONTRIBUTED & {"EPContext", "Snpe", "ATen", "PythonOp"}
