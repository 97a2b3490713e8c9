"""Programs in models: what computes passes, what reaches out of the graph is named and refused."""

import contextlib
import os
import shutil
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.errors import ModelRefused
from gpfn.models.operators import check_operators
from gpfn.models.tf_operators import ALLOWED, FILE_OPERATORS, advice
from tests.conftest import ROOT

KINDS = {".tflite": "litert", ".pb": "graph", ".onnx": "onnx", "": "tensorflow"}

ALLOWED_ONES = (
    *("affine", "variables_v1", "recurrent", "words", "image", "image-saved"),
    "TFLite_Detection_PostProcess.tflite",
)

REFUSED = {
    **{
        f"{name}.pb": rf"the operator '{name.partition('-')[0]}' \(node '[^']+'"
        for name in (
            *("ReadFile", "ReadFile-in-while", "ReadFile-in-if", "ReadFile-in-case"),
            *("MatchingFiles", "PyFunc", "EagerPyFunc", "ImmutableConst", "WriteFile", "PrintV2"),
            *("Abort", "RestoreV2"),
        )
    },
    "ReadFile-nested.pb": "'ReadFile' .* in the function '__inference_reading_",
    "TextLineDataset.pb": "Dataset' .* without its input pipeline",
    "write_init": r"'WriteFile' \(node 'write'\) is not allowed: give what is in the file",
    "save_init": "'SaveV2' .* here the initialiser leads to it",
    "signature-Restoring": "'RestoreV2' .* here a signature leads to it",
    "signature-Filling": "'InitializeTableFromTextFileV2' .* here a signature leads to it",
    "signature_restores": "'RestoreV2' .* here a signature leads to it",
    "signature_depends": "'RestoreV2' .* here a signature leads to it",
    "signature_by_attribute": "'RestoreV2' .* here a signature leads to it",
    "constant_prefix": "'RestoreV2' .* here the restorer leads to it",
    "constant_argument": "'RestoreV2' .* here the restorer leads to it",
    "second_output": "'RestoreV2' .* here the restorer leads to it",
    "list_argument": "'RestoreV2' .* here the restorer leads to it",
    "loop_variable": "'RestoreV2' .* here the restorer leads to it",
    "exchanged": "could be put in another one's place",
    "unreached": "'RestoreV2' .* own saver, restorer and initialiser may$",
    "asset_outside": r"asset '\.\./\.\./secret' is outside",
    "asset_not_fed": "'InitializeTableFromTextFileV2' .* here the initialiser leads to it",
    "variable_shared": "'InitializeTableFromTextFileV2' .* here the initialiser leads to it",
    "variable_twice": "'InitializeTableFromTextFileV2' .* here the initialiser leads to it",
    "function_called_as_operator": r"'ReadFile' \(node 'read'\)",
    "twice": "two functions are called",
    "Evil.tflite": "custom operator 'Evil' is not allowed",
    "FlexReadFile.tflite": "convert without SELECT_TF_OPS",
}


def kind_of(path: Path) -> str:
    return KINDS[path.suffix]


def refusal(path: Path, kind: str = "") -> str:
    with pytest.raises(ModelRefused) as caught:
        check_operators(path, kind or kind_of(path))
    assert caught.value.field == "model"
    assert caught.value.status == 422
    assert str(path.parent) not in caught.value.detail
    return caught.value.detail


# what passes


@pytest.mark.parametrize("name", ALLOWED_ONES)
def test_what_others_export(made_guarded: Path, name: str) -> None:
    check_operators(made_guarded / "allowed" / name, kind_of(Path(name)))


def test_every_model_that_the_tests_make(made: Path, made_rows: Path) -> None:
    paths = [path for folder in (made, made_rows) for path in folder.iterdir()]
    models = [path for path in paths if path.suffix in KINDS and path.suffix]
    models += [path for path in paths if (path / "saved_model.pb").is_file()]
    assert len(models) > 40
    for path in models:
        check_operators(path, kind_of(path))


def test_our_own_models_and_published_ones(shared: Path) -> None:
    models = [path for path in (ROOT / "models").iterdir() if path.suffix in KINDS and path.suffix]
    models += (shared / "data" / "models").glob("*.tflite")
    assert len(models) >= 6
    for path in [*models, ROOT / "models" / "forecast_savedmodel"]:
        check_operators(path, kind_of(path))


# what is refused


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_reaches_out_of_the_graph(made_guarded: Path, name: str) -> None:
    path = made_guarded / "refused" / name
    detail = refusal(path)
    with pytest.raises(ModelRefused, match=REFUSED[name]):
        check_operators(path, kind_of(path))
    assert len(detail) < 500


def test_every_hostile_model_has_its_line(made_guarded: Path) -> None:
    assert {path.name for path in (made_guarded / "refused").iterdir()} == set(REFUSED)
    assert {path.name for path in (made_guarded / "allowed").iterdir()} == set(ALLOWED_ONES)


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_another_graph_beside_the_one_that_is_checked(
    made_guarded: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(made_guarded / "allowed" / "affine", tmp_path / "m")
    (tmp_path / "m" / name).touch()
    assert refusal(tmp_path / "m") == f"send saved_model.pb without {name}"


def test_files_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_bytes(b"hello, world")
    for kind in ("litert", "onnx", "graph"):
        assert "is empty" in refusal(tmp_path / "empty", kind)
        assert "damaged" in refusal(tmp_path / "text", kind)
        assert "No such file" in refusal(tmp_path / "absent", kind)
    assert "No such file" in refusal(tmp_path, "tensorflow")
    assert "no kind of model" in refusal(tmp_path / "text", "pickle")


# the lists


def test_the_lists_have_no_word_that_reaches_out() -> None:
    marks = ("File", "Save", "Restore", "Write", "Dataset", "Iterator", "Py", "Rpc", "TPU", "Xla")
    marks += ("Dump", "Abort", "Proto", "Load", "Print", "Send", "Recv", "Remote", "Session")
    known = {"ShardedFilename", "ShardedFilespec"}  # they make a text
    known |= {name for name in ALLOWED if name.startswith("TensorArrayWrite")}
    assert not {name for name in ALLOWED - known if any(mark in name for mark in marks)}
    assert not ALLOWED & set(FILE_OPERATORS)
    assert len(ALLOWED) > 800
    assert "inference alone" in advice("Unheard")


# how others could read the same bytes


def protobuf(*parts: tuple[int, bytes]) -> bytes:
    data = b""
    for number, content in parts:
        size, rest = b"", len(content)
        while rest > 0x7F:
            size, rest = size + bytes([rest & 0x7F | 0x80]), rest >> 7
        data += bytes([number << 3 | 2]) + size + bytes([rest]) + content
    return data


def node(name: bytes, op: bytes) -> tuple[int, bytes]:
    return 1, protobuf((1, name), (2, op))


HIDDEN = protobuf(node(b"a", b"ReadFile"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (HIDDEN, "ReadFile"),
        (protobuf((1, protobuf((2, b"ReadFile"), (1, b"a")))), "ReadFile"),
        (protobuf((1, protobuf((1, b"a"), (2, b"Const"), (2, b"ReadFile")))), "two operators"),
        (protobuf((1, protobuf((1, b"a"), (2, b"ReadFile"), (2, b"Const")))), "two operators"),
        (protobuf(node(b"a", b"Const"), node(b"a", b"Const")), "two nodes are called 'a'"),
        (protobuf((2, b""), (2, protobuf((1, protobuf((3, protobuf((2, b"PyFunc")))))))), "PyFunc"),
        (b"\x8a\x80\x80\x80\x10" + HIDDEN[1:], "field number"),  # cut to 32 bits it is field 1
        (b"\x0b" + HIDDEN + b"\x0c", "wire type 3"),
        (protobuf(node(b"n" * 5000, b"Const")), "a name of 5000 bytes"),
        (protobuf(node(b"a", "Const\u200b".encode())), "Const"),
        (protobuf(node(b"a", b"")), "''"),
        (HIDDEN[:-1], "damaged"),
    ],
)
def test_one_message_is_not_read_in_two_ways(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "model.pb").write_bytes(data)
    assert told in refusal(tmp_path / "model.pb")


def test_calls_that_multiply(tmp_path: Path) -> None:
    """Thirty functions, each of which calls the next one twice, differently."""

    def calling(op: bytes, name: bytes, *inputs: bytes) -> tuple[int, bytes]:
        return 3, protobuf((1, name), (2, op), *((3, each) for each in inputs))

    functions = []
    for n in range(30):
        arguments = [(2, protobuf((1, b"%d" % k))) for k in range(8)]
        signature = (1, protobuf((1, b"f_%d" % n), *arguments))
        pairs = [[b"%d" % (k ^ bit) for k in range(8)] for bit in (1, 2, 4)]
        calls = [calling(b"f_%d" % (n + 1), b"c%d" % k, *pair) for k, pair in enumerate(pairs)]
        functions.append((1, protobuf(signature, *(calls if n < 29 else ()))))
    last = protobuf((1, protobuf((1, b"z_z"))), calling(b"RestoreV2", b"r", b"x"))
    start = (1, protobuf((1, b"restore"), (2, b"f_0"), *((3, b"file") for _ in range(3))))
    file = (1, protobuf((1, b"file"), (2, b"Placeholder")))
    graph = protobuf(file, start, (2, protobuf(*functions, (1, last))))
    saver = protobuf((1, b"file:0"), (3, b"restore"))
    (tmp_path / "saved_model.pb").write_bytes(protobuf((2, protobuf((2, graph), (3, saver)))))
    began = time.process_time()
    assert "RestoreV2" in refusal(tmp_path, "tensorflow")
    assert time.process_time() - began < 30


# what it costs


def test_tensors_are_not_read(tmp_path: Path) -> None:
    size = 64 << 20  # a hole in the file
    inner = b"\x42" + varint(size)
    attribute = b"\x12" + varint(len(inner) + size) + inner
    attribute = b"\x0a\x05value" + attribute
    body = b"\x0a\x01w\x12\x05Const" + b"\x2a" + varint(len(attribute) + size) + attribute
    head = b"\x0a" + varint(len(body) + size) + body
    path = tmp_path / "model.pb"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
        file.seek(0, os.SEEK_END)
        file.write(protobuf(node(b"read", b"ReadFile")))
    tracemalloc.start()
    try:
        assert "ReadFile" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def test_a_file_of_nothing_but_nodes(tmp_path: Path) -> None:
    path = tmp_path / "model.pb"
    path.write_bytes(b"\x0a\x00" * 600_000)
    assert "two nodes are called ''" in refusal(path)
    path.write_bytes(b"".join(protobuf(node(b"%d" % n, b"NoOp")) for n in range(500_001)))
    assert refusal(path) == "more than 500000 operators"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_to_a_model_gets_anything_but_an_answer(
    made_guarded: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["affine", "Evil.tflite", "ReadFile-in-if.pb"]))
    source = made_guarded / ("allowed" if name == "affine" else "refused") / name
    kind = kind_of(source)
    whole = bytearray((source / "saved_model.pb" if kind == "tensorflow" else source).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("changed")
    path = folder / "saved_model.pb"
    path.write_bytes(whole)
    with contextlib.suppress(ModelRefused):
        check_operators(folder if kind == "tensorflow" else path, kind)
