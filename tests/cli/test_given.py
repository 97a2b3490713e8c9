"""``gpfn predict`` of rows, CSV, pictures and texts: real models, and what is wrong in one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gpfn.cli.main import main
from tests.cli.terminal import on_a_terminal

IRIS = ("length", "width")


def save(path: Path, nodes: list[onnx.NodeProto], inputs: object, outputs: object) -> str:
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


@pytest.fixture
def classifier(tmp_path: Path) -> str:
    """Make a classifier as converters of scikit-learn do: columns in, a label and a ZipMap out."""
    columns = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in IRIS]
    nodes = [
        helper.make_node("Concat", list(IRIS), ["x"], axis=1),
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[1.0, 0.0, 0.0, 1.0, -1.0, -1.0],
            intercepts=[0.0, 0.0, 0.0],
            classlabels_strings=["long", "wide", "small"],
            post_transform="SOFTMAX",
            multi_class=1,
        ),
        helper.make_node(
            "ZipMap",
            ["scores"],
            ["probability"],
            domain="ai.onnx.ml",
            classlabels_strings=["long", "wide", "small"],
        ),
    ]
    label = helper.make_tensor_value_info("label", TensorProto.STRING, [None])
    mapped = helper.make_value_info(
        "probability",
        helper.make_sequence_type_proto(
            helper.make_map_type_proto(
                TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
            )
        ),
    )
    return save(tmp_path / "iris.onnx", nodes, columns, [label, mapped])


@pytest.fixture
def wide(tmp_path: Path) -> str:
    """Make a model of one input that is three values a row."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
    return save(tmp_path / "wide.onnx", [helper.make_node("Neg", ["x"], ["y"])], [x], [y])


@pytest.fixture
def words(tmp_path: Path) -> str:
    """Make a model of texts."""
    x = helper.make_tensor_value_info("text", TensorProto.STRING, [None])
    y = helper.make_tensor_value_info("same", TensorProto.STRING, [None])
    return save(
        tmp_path / "words.onnx", [helper.make_node("Identity", ["text"], ["same"])], [x], [y]
    )


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["predict", *arguments]) == 0
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["predict", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("gpfn: ")


def test_a_row_by_its_columns(classifier: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, classifier, "--row", "width=1", "length=3", "--top", "2")
    assert [line.split() for line in out.splitlines()] == [
        ["label"],
        ["long"],
        ["probability", "probability"],
        ["long", "0.88009"],
        ["wide", "0.119107"],
    ]


def test_rows_are_a_table(classifier: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--row", "width=1", "length=3", "--row", "length=0", "width=4"]
    lines = [line.split() for line in printed(capsys, classifier, *words).splitlines()]
    assert [line[:2] for line in lines[1:]] == [["long", "long"], ["wide", "wide"]]


def test_a_csv_file_as_a_spreadsheet_writes_it(
    classifier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes('\ufeff"width";"length"\r\n"1";3,0\r\n'.replace(",", ".").encode())
    found = json.loads(printed(capsys, classifier, "--csv", str(file), "--json"))
    scores = next(one for one in found["outputs"] if one["name"] == "probability")
    assert np.allclose(scores["data"], [0.88009, 0.119107, 0.000803], atol=1e-5)


def test_csv_from_standard_input(wide: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "gpfn", "predict", wide, "--csv", "-"],
        input=b"1\t2\t3\n",
        capture_output=True,
        check=True,
    )
    assert run.stdout.split() == [b"y[0]", b"y[1]", b"y[2]", b"-1", b"-2", b"-3"]
    assert run.stderr == b""


def test_columns_of_one_input_are_told(wide: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", wide, "--row", "a=1", "b=2", "c=3", "--row", "c=6", "b=5", "a=4"]) == 0
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["y[0]", "y[1]", "y[2]"],
        ["-1", "-2", "-3"],
        ["-4", "-5", "-6"],
    ]
    assert err == "gpfn: a, b, c are taken as the values of x, in this order\n"


def test_columns_that_the_description_names(
    wide: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.toml").write_text(
        'model = "wide.onnx"\n[[columns]]\nname = "a"\n[[columns]]\nname = "b"\ndefault = 7\n'
        '[[columns]]\nname = "c"\n'
    )
    assert main(["predict", wide, "--row", "c=3", "a=1"]) == 0
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["y[0]", "y[1]", "y[2]"],
        ["-1", "-7", "-3"],
    ]
    assert err == ""
    assert "missing column c" in told(capsys, wide, "--row", "b=3", "a=1")


@pytest.mark.parametrize("option", ["--csv", "--input"])
@pytest.mark.parametrize("first", ["2021,2020", "2021,age"])
def test_a_first_line_of_declared_names_is_no_row(
    option: str, first: str, wide: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*reversed(first.split(",")), "c"]
    columns = "".join(f'[[columns]]\nname = "{name}"\n' for name in names)
    (tmp_path / "model.toml").write_text(f'model = "wide.onnx"\n{columns}')
    (tmp_path / "rows.csv").write_text(f"{first},c\n1,2,3\n4,5,6\n")
    found = printed(capsys, wide, option, str(tmp_path / "rows.csv"), "--output", "-")
    assert json.loads(found) == [[-2, -1, -3], [-5, -4, -6]]


def test_texts_stay_texts(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, words, "--text", "02139", "--text", "na ïve")
    assert out.splitlines() == ["same", "02139", "na ïve"]
    assert printed(capsys, words, "--row", "text=NA").splitlines() == ["same", "NA"]


def test_pictures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = str(root / "ce_samples" / "digit-7.png")
    out = printed(capsys, "digits", "--image", picture, "--top", "1")
    assert out.splitlines()[1].split() == ["7", "0.993362"]
    assert main(["predict", str(root / "models" / "digits.tflite"), "--image", picture]) == 0
    assert "taken as 8 x 8 L, NHWC, stretched, bytes; a model.toml" in capsys.readouterr().err
    out = printed(capsys, "digits", "--image", picture, "--image", picture, "--output", "-")
    assert np.asarray(json.loads(out)).shape == (2, 10)


def test_a_picture_and_classes_as_a_model_toml_says(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.tflite").write_bytes((root / "models" / "digits.tflite").read_bytes())
    (tmp_path / "names.txt").write_text("\n".join(f"digit {at}" for at in range(10)))
    (tmp_path / "model.toml").write_text(
        'model = "own.tflite"\nlabels = "names.txt"\n[image]\nheight = 8\nwidth = 8\n'
        'channels = "L"\nlayout = "NHWC"\nquantised = true\nfit = "crop"\n'
    )
    words = ["predict", str(tmp_path / "own.tflite"), "--image"]
    assert main([*words, str(root / "ce_samples" / "digit-7.png"), "--top", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["digit", "7", "0.993362"]
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--row", "lenght=1", "width=2"],
            "--row: missing column length; unknown column lenght; the columns are length, width; ",
        ),
        (["--row", "length=1"], "--row: missing column width; the columns are length, w"),
        (["--row", "length=x", "width=2"], "--row 1.length: expected a number (float32), got text"),
        (["--row", "length=", "width=2"], "--row 1.length: missing, and the column has no default"),
        (
            ["--row", "length=nan", "width=2"],
            "--row 1.length: expected a number (float32), got text",
        ),
        (["--row", "length=1", "length=2"], "--row 1.length: given twice"),
        (["--row", "length=1", "2"], "--row 1: expected NAME=VALUE, got '2'"),
        (
            ["--row", "length=1", "width=1", "--row", "width=2"],
            "--row 2: other columns than in the first row, which has length, width; a row's",
        ),
        (["--csv", "absent.csv"], "--csv: cannot read absent.csv: No such file"),
        (["--csv", "none.csv"], "none.csv: no row of values in it"),
        (["--image", "none.csv"], "which input is a picture? the model takes length float32 (any"),
        (["--text", "a"], "--text: which input is a text? the model takes length float32 (any, 1)"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    line: str,
    classifier: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.csv").write_text("length,width\n")
    assert told(capsys, classifier, *arguments).startswith(line)


def test_a_file_that_is_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_text("hello")
    (tmp_path / "b.png").write_bytes(b"")
    assert "a.png: not an image" in told(capsys, "digits", "--image", str(tmp_path / "a.png"))
    assert "b.png: empty file" in told(capsys, "digits", "--image", str(tmp_path / "b.png"))


def test_a_file_over_the_limit_is_not_read(
    wide: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "big.csv").write_text("1,2,3\n" * 100)
    monkeypatch.setenv("GPFN_MAX_BODY_BYTES", "100")
    line = told(capsys, wide, "--csv", str(tmp_path / "big.csv"))
    assert line.endswith("big.csv has more than 100 bytes (GPFN_MAX_BODY_BYTES)")


@pytest.mark.parametrize(
    "arguments",
    [["--row", "a=1", "--csv", "f"], ["--image", "f", "--text", "t"], [], ["--top", "0"]],
)
def test_one_kind_at_a_time(
    arguments: list[str], wide: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", wide, *arguments]) == 2
    assert "gpfn predict: error: " in capsys.readouterr().err.splitlines()[-1]


def test_bars_and_plots_are_for_terminals(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(root / "ce_samples" / "digit-7.png")
    bars = on_a_terminal("predict", "digits", "--image", picture, PYTHONUTF8="1")
    assert "7                 0.993362  ███████████" in bars
    assert "#####" in on_a_terminal(
        "predict", "digits", "--image", picture, PYTHONIOENCODING="ascii", NO_COLOR="1"
    )
    np.save(tmp_path / "x.npy", np.linspace(20, 30, 20, dtype=np.float32).reshape(1, 20, 1))
    plot = on_a_terminal("predict", "forecast", "--input", str(tmp_path / "x.npy"), PYTHONUTF8="1")
    assert plot.startswith("forecast  float32 (1, 20, 1)\r\n")
    assert len(plot.splitlines()) == 9
    assert "\x1b[3" not in plot, "no colour that NO_COLOR could not take away"
    assert "█" not in printed(capsys, "digits", "--image", picture)
