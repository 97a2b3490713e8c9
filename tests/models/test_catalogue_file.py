"""A model.toml becomes an entry of a catalogue of one's own, or nothing is written."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx import TensorProto, helper, save_model

from gpfn import Function, open_model
from gpfn.classifier import Classifier
from gpfn.cli.main import main
from gpfn.errors import ModelUnreadable, SetupError
from gpfn.message import Message
from gpfn.models.catalogue import default_catalogue, forget_catalogues, read_catalogue
from gpfn.models.catalogue_file import add_model
from tests.models.making_images import colour, colour_model

TOML = """
# comments do not come along
title = "Colours: \\"red\\"\\tand more"
model = "colours.onnx"
labels = "labels.txt"
aliases = ["hues"]
signature.inputs.image = { dtype = "float32", shape = [-1, 3, 8, 8] }

[image]
size = [8, 8]
channels = "first"
mean = 127.5
std = 25.5

[scores]
softmax = true
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Path]:
    """The model.toml of a model with labels, in a folder of its own."""
    folder = tmp_path / "col ours"
    folder.mkdir()
    colour_model(folder / "colours.onnx")
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    (folder / "model.toml").write_text(TOML)
    yield folder / "model.toml"
    forget_catalogues()


def test_an_entry_is_what_the_description_was(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the classifier knows it by its name, from anywhere."""
    catalogue = tmp_path / "mine.toml"
    assert main(["models", "add", str(made), "--catalogue", str(catalogue)]) == 0
    out, err = capsys.readouterr()
    assert out == f"colours is in {catalogue}\n"
    assert err == f"to use it by its name: export GPFN_CATALOGUE={catalogue}\n"
    monkeypatch.setenv("GPFN_CATALOGUE", str(catalogue))
    monkeypatch.chdir("/")
    entry = default_catalogue().get("hues")
    assert (entry.name, entry.licence) == ("colours", "not stated")
    assert entry.title == 'Colours: "red"\tand more'
    assert entry.model.folder == str(made.parent)
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:1] == ["colours"]
    assert main(["models", "show", "colours"]) == 0
    assert "image  float32  (n, 3, 8, 8)" in capsys.readouterr().out
    reply = Function(Classifier("colours")).answer(Message(colour((0, 0, 255)), "image/png"))
    assert b'"className":"blue"' in reply.message.body


def test_a_second_model_and_a_second_time(made: Path, tmp_path: Path) -> None:
    catalogue = tmp_path / "mine.toml"
    catalogue.write_text("# mine\n")
    add_model(made, catalogue)
    add_model(made.parent, catalogue, name="v1.0")
    with pytest.raises(SetupError, match="'hues' is a name of") as caught:
        add_model(made, catalogue, name="hues")
    assert caught.value.field
    before = catalogue.read_bytes()
    with pytest.raises(SetupError, match="has a model colours already; give --replace"):
        add_model(made, catalogue)
    assert catalogue.read_bytes() == before
    made.write_text(TOML.replace('title = "Colours', 'title = "Shades'))
    add_model(made, catalogue, replace=True)
    text = catalogue.read_text()
    assert text.startswith("# mine\n")
    assert [entry.title[:6] for entry in read_catalogue(catalogue)] == ["Colour", "Shades"]
    catalogue.write_text(text.replace("[models.colours]", "[models . colours]"))
    with pytest.raises(SetupError, match="by hand"):
        add_model(made, catalogue, replace=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model.toml": b"model = 1"}, "model: expected the name of a file beside it"),
        ({"model.toml": b"["}, "cannot be read"),
        ({"model.toml": b"model = 'm.py:f'"}, "no Python functions"),
        ({"model.toml": b"model = 'absent.onnx'"}, "names absent.onnx, which is not beside it"),
        ({"model.toml": b"model = 'colours.onnx'\nlabels = 'no.txt'"}, "names no.txt, which"),
        ({"colours.onnx": b""}, "empty"),
        ({"colours.onnx": b"\x1c\0\0\0TFL3" + bytes(100)}, "colours.onnx"),
        (
            {"model.toml": b"model = 'colours.onnx'\nfiles.'colours.onnx'.size = 1"},
            "expected 1 by the model.toml",
        ),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    made: Path, tmp_path: Path, change: dict[str, bytes], told: str
) -> None:
    for name, content in change.items():
        (made.parent / name).write_bytes(content)
    catalogue = tmp_path / "mine.toml"
    with pytest.raises(SetupError) as caught:
        add_model(made, catalogue)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not catalogue.exists()


def test_a_catalogue_that_is_none_stays_as_it_is(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = tmp_path / "mine.toml"
    for content, told in (("x = [", "cannot be read"), ("[models.a]\n", "models.a")):
        catalogue.write_text(content)
        with pytest.raises(SetupError, match=told):
            add_model(made, catalogue)
        assert catalogue.read_text() == content
    with pytest.raises(SetupError, match="cannot be written: No such file"):
        add_model(made, tmp_path / "absent" / "mine.toml")
    with pytest.raises(SetupError, match=r"letters, digits, '\.', '_' and '-'"):
        add_model(made, tmp_path / "new.toml", name="../x")
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    monkeypatch.delenv("GPFN_CATALOGUE", raising=False)
    assert main(["models", "add", str(made)]) == 1
    assert capsys.readouterr().err.startswith("gpfn: GPFN_CATALOGUE: not set: name the file")
    assert main(["models", "add", str(made), "--catalogue", "x", "--name", "a/b"]) == 1
    assert capsys.readouterr().err.startswith("gpfn: --name: expected a name of")


def test_tensors_beside_the_model_are_files_of_the_entry(made: Path, tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, (3, 400), bytes(4800), raw=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 400))],
        [weights],
    )
    made.write_text("model = 'big.onnx'\n")
    save_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(made.parent / "big.onnx"),
        save_as_external_data=True,
        location="big.bin",
        size_threshold=1,
    )
    catalogue = tmp_path / "mine.toml"
    add_model(made, catalogue)
    entry = read_catalogue(catalogue).get("big")
    assert [file.name for file in entry.files] == ["big.onnx", "big.bin"]


def test_a_folder_may_be_a_model(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "forecast"
    folder.symlink_to(root / "models/forecast_savedmodel")
    (tmp_path / "model.toml").write_text("model = 'forecast'\n")
    catalogue = tmp_path / "mine.toml"
    add_model(tmp_path, catalogue)
    entry = read_catalogue(catalogue).get("forecast")
    assert entry.model.folder == str(tmp_path)
    from gpfn.models.files import local_path

    assert open_model(local_path("forecast", entry.model)).inputs
    folder.unlink()
    with pytest.raises(ModelUnreadable, match="where its description has it"):
        local_path("forecast", entry.model)


def test_a_model_to_be_fetched_is_listed_with_its_hash(tmp_path: Path) -> None:
    described = tmp_path / "model.toml"
    url = 'files."far.onnx" = { url = "https://example.com/far.onnx"'
    described.write_text(f'model = "far.onnx"\n{url}, sha256 = "{"a" * 64}", size = 9 }}\n')
    catalogue = tmp_path / "mine.toml"
    add_model(described, catalogue)
    assert read_catalogue(catalogue).get("far").model.size == 9
    described.write_text(f'model = "far.onnx"\n{url} }}\n')
    with pytest.raises(SetupError, match="sha256"):
        add_model(described, catalogue, name="unpinned")
    assert len(read_catalogue(catalogue).entries) == 1
