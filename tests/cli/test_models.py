"""``gpfn models``: the catalogue, fetching, and looking into models of every backend."""

import hashlib
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, ValueInfoProto, helper

from gpfn.cli.main import main
from gpfn.cli.progress import DownloadProgress, size_text
from gpfn.cli.table import print_table
from tests.models.fileserver import file_server


@pytest.fixture(autouse=True)
def places(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the mirror that CI has."""
    monkeypatch.setenv("GPFN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("GPFN_MODEL_MIRROR", str(shared / "data" / "models"))
    return tmp_path / "cache"


def test_list_says_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["NAME", "SIZE", "HERE", "LICENCE", "WHAT"]
    found = {words[0]: words[3] for words in lines[1:]}
    assert found["forecast"] == "yes", "it comes with gpfn"
    assert found["mobilenet_v1"] == found["mobilenet_v2"] == "no"


def test_pull_prints_the_paths(capsys: pytest.CaptureFixture[str], places: Path) -> None:
    assert main(["models", "pull", "mobilenet_v1", "forecast"]) == 0
    out, err = capsys.readouterr()
    paths = [Path(line) for line in out.splitlines()]
    assert [path.name for path in paths] == [
        "mobilenet_v1_0.25_128_quant.tflite",
        "imagenet_labels.txt",
        "forecast.tflite",
    ]
    assert all(path.is_file() for path in paths)
    assert paths[0].is_relative_to(places)
    assert "100 % of 525.6 kB" in err
    assert main(["models", "pull", "mobilenet_v1"]) == 0
    again, quiet = capsys.readouterr()
    assert again.splitlines() == out.splitlines()[:2]
    assert quiet == "", "nothing is fetched twice"
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mobilenet_v1"]["here"] is True
    assert rows["mobilenet_v1"]["files"]["imagenet_labels.txt"] == str(paths[1])


def test_pull_of_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "mobilenet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpfn: name: no model named 'mobilenet'; the catalogue has: ")
    assert line.endswith("mobilenet_v1, mobilenet_v2")


def test_pull_without_network_and_mirror_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPFN_MODEL_MIRROR")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert main(["models", "pull", "mobilenet_v2", "--json"]) == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["type"] == "download-failed"
    assert "set GPFN_MODEL_MIRROR" in error["detail"]


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("models/forecast.tflite", "litert"),
        ("models/forecast.onnx", "onnx"),
        ("models/rnn_ts_model.pb", "tensorflow"),
        ("models/forecast_savedmodel", "tensorflow"),
        ("forecast", "litert"),
    ],
)
def test_show_is_the_same_for_every_backend(
    model: str, backend: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = model if model == "forecast" else str(root / model)
    assert main(["models", "show", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["backend"] == backend
    assert found["size"] > 40_000
    assert found["inputs"] == [{"name": "series", "dtype": "float32", "shape": [None, 20, 1]}]
    assert found["outputs"] == [{"name": "forecast", "dtype": "float32", "shape": [None, 20, 1]}]


def test_what_show_prints_is_what_a_uri_takes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "models" / "forecast_savedmodel"
    assert main(["models", "show", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "size     87.53 kB in 4 files"
    digest = lines[3].removeprefix("sha256   ")
    assert main(["models", "show", f"{folder}#sha256={digest}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sha256"], found["files"]) == (digest, 4)


def test_show_as_text(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "models" / "forecast.tflite"
    assert main(["models", "show", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "backend  litert",
        "size     53.41 kB",
        f"sha256   {hashlib.sha256(path.read_bytes()).hexdigest()}",
        "inputs:",
        "  series  float32  (n, 20, 1)",
        "outputs:",
        "  forecast  float32  (n, 20, 1)",
    ]


def test_show_names_what_is_left_out_and_the_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.onnx"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    half = helper.make_tensor_value_info("b", TensorProto.BFLOAT16, ["n", 2])
    maps = ValueInfoProto(name="p")
    maps.type.sequence_type.elem_type.map_type.key_type = TensorProto.STRING
    maps.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    labels = {"classlabels_strings": ["no", "yes"]}
    nodes = [
        helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16),
        helper.make_node("ZipMap", ["x"], ["p"], domain="ai.onnx.ml", **labels),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "g", [x], [half, maps])
    whole = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(whole.SerializeToString())
    assert main(["models", "show", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[6:] == [
        "outputs:",
        "  p  float32  (n, 2)",
        "classes of p: no, yes",
        "left out, because they cannot be used:",
        "  b  tensor(bfloat16), which no array here holds; cast it to float32 in the model",
    ]
    assert main(["models", "show", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == {"p": ["no", "yes"]}
    assert list(found["left_out"]) == ["b"]


DESCRIBED = """
title = "Monthly values"
description = "A copy of ours."
licence = "MIT"
source = "here"
aliases = ["f"]
model = "copy.tflite"
labels = "months.txt"
signature.inputs.series = { dtype = "float32", shape = [-1, 20, 1] }
[image]
height = 20
width = 1
channels = "L"
layout = "NHWC"
fit = "stretch"
quantised = false
mean = [127.5]
std = [128]
"""


def test_show_says_what_the_model_toml_beside_a_file_says(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "copy.tflite"
    model.write_bytes((root / "models" / "forecast.tflite").read_bytes())
    (tmp_path / "model.toml").write_text(DESCRIBED)
    assert main(["models", "show", str(model)]) == 0
    assert capsys.readouterr().out.splitlines()[3:10] == [
        "title        Monthly values",
        "description  A copy of ours.",
        "licence      MIT",
        "source       here",
        "labels       months.txt",
        "aliases      f",
        "image        1 x 20 L, NHWC, stretch, float32: (byte - (127.5)) / (128)",
    ]
    assert main(["models", "show", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["description"]
    assert found["inputs"] == [{"name": "series", "dtype": "float32", "shape": [None, 20, 1]}]
    assert (found["outputs"], found["image"]["mean"]) == ([], [127.5])
    scores = "[scores]\noutput = 'forecast'\nsigmoid = true\nthreshold = 0.25\n"
    (tmp_path / "model.toml").write_text(DESCRIBED + scores)
    assert main(["models", "show", str(model)]) == 0
    said = "scores       output = forecast, sigmoid = true, threshold = 0.25"
    assert capsys.readouterr().out.splitlines()[10] == said
    (tmp_path / "model.toml").write_text(DESCRIBED + '[files."copy.tflite"]\nsize = 5\n')
    assert main(["models", "show", str(model)]) == 1
    assert "has 53412 bytes, expected 5 by the model.toml" in capsys.readouterr().err
    (tmp_path / "model.toml").write_text(DESCRIBED + '[files."more.bin"]\nsize = 5\n')
    assert main(["models", "show", str(model)]) == 0  # it is not there
    capsys.readouterr()
    (tmp_path / "more.bin").write_bytes(b"1234")
    assert main(["models", "show", str(model)]) == 1
    assert "more.bin has 4 bytes, expected 5 by the model.toml" in capsys.readouterr().err
    (tmp_path / "model.toml").write_text(DESCRIBED + "colour = 'red'\n")
    assert main(["models", "show", str(model)]) == 1
    wrong = capsys.readouterr().err
    assert wrong.startswith("gpfn: image.colour: unknown key; known: channels, ")
    assert wrong.endswith(f"in {tmp_path}/model.toml\n")


def test_show_of_a_name_says_what_the_catalogue_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "digits"]) == 0
    assert "licence  Apache-2.0\n" in capsys.readouterr().out
    assert main(["models", "show", "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["description"]["labels"] == "digits_labels.txt"
    assert found["description"]["inputs"] == found["inputs"]


def test_a_catalogue_of_ones_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.tflite").write_bytes((root / "models" / "forecast.tflite").read_bytes())
    (tmp_path / "mine.toml").write_text(
        '[models.mine]\ntitle = "Mine"\nlicence = "MIT"\nsource = "me"\naliases = ["ours"]\n'
        'model = "mine.tflite"\nfiles."mine.tflite" = {}\n'
    )
    monkeypatch.setenv("GPFN_CATALOGUE", str(tmp_path / "mine.toml"))
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["mine", "53.41", "kB", "yes", "MIT", "Mine"]
    assert [line.split()[0] for line in lines[2:4]] == ["forecast", "digits"]
    window = str(root / "ce_samples" / "window.json")
    assert main(["predict", "ours", "--input", window]) == 0
    assert capsys.readouterr().out.startswith("[[[")


def test_show_of_a_model_files_address(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = (root / "models" / "forecast.tflite").read_bytes()
    with file_server() as server:
        url = server.put("/forecast.tflite", model) + "?version=1"
        assert main(["models", "show", url]) == 0
        assert "  series  float32  (n, 20, 1)" in capsys.readouterr().out
        window = str(root / "ce_samples" / "window.json")
        assert main(["predict", url, "--input", window]) == 0
        assert capsys.readouterr().out.startswith("[[[")
        assert main(["models", "show", f"{url}#sha256={'0' * 64}"]) == 1
        assert "sha256" in capsys.readouterr().err


def test_show_of_a_server_that_does_not_tell(capsys: pytest.CaptureFixture[str]) -> None:
    with file_server() as server:
        url = server.put("/", b"<html>")
        assert main(["models", "show", url]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "backend  graphpipe",
        "inputs:",
        "  not told",
        "outputs:",
        "  not told",
    ]


@pytest.mark.parametrize("content", [None, b"", b"TFL3", b"{}", b"\x20\0\0\0TFL3" + bytes(60)])
def test_show_of_what_is_no_model(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    assert main(["models", "show", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gpfn: ")
    assert str(path) in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [["models"], ["models", "pull"], ["models", "buy", "x"]])
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: gpfn models" in capsys.readouterr().err


def test_sizes_as_people_read_them() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 525598, 3610798, 5 * 10**9, 10**13)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "525.6 kB",
        "3.611 MB",
        "5 GB",
        "1e+04 GB",
    ]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    progress = DownloadProgress(stream)
    for have in (0, 500):
        progress("m.tflite", have, 1000)
    began = time.monotonic()
    while " 50% " not in stream.getvalue():
        assert time.monotonic() - began < 20, stream.getvalue()
        time.sleep(0.02)
    progress("m.tflite", 1000, 1000)
    last = stream.getvalue().rpartition("\x1b[2K")[2]
    assert "m.tflite \x1b" in last or last.startswith("m.tflite ━━━"), last
    assert "100%" in last
    assert "1.0/1.0 kB" in last
    assert last.endswith("\n\x1b[?25h"), "the cursor is shown again"
    before = len(stream.getvalue())
    progress("other.tflite", 5, 5)
    assert "other.tflite" in stream.getvalue()[before:]


def test_progress_of_an_unknown_size_ends_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with file_server() as server:
        url = server.put("/m.onnx", b"not a model", with_length=False)
        assert main(["models", "show", url]) == 1
    assert capsys.readouterr().err.startswith("m.onnx  100 % of 11 bytes")


def test_a_table_is_fitted_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("a", "[b] " + "long " * 20), ("c", "d")]
    print_table(rows, ("X", "Y"))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 40
    monkeypatch.setattr("sys.stdout", piped := io.StringIO())
    print_table(rows, ("X", "Y"), indent=2)
    assert piped.getvalue() == f"  X  Y\n  a  {rows[0][1].rstrip()}\n  c  d\n"


def test_progress_in_a_log_is_one_line() -> None:
    stream = io.StringIO()
    progress = DownloadProgress(stream)
    for have in (100, 500, 1000):
        progress("m.tflite", have, 1000)
    assert len(stream.getvalue().splitlines()) == 1
    assert "100 % of 1 kB" in stream.getvalue()


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["models", "show", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_timing_is_what_the_server_measures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, str(root / "models" / "forecast.tflite"), "--timing")["timing"]
    rows = [each["rows"] for each in found["curve"]]
    assert rows == [1, 2, 4, 8, 16, 32, 64][: len(rows)]
    assert all(0 < each["seconds"] < 1 for each in found["curve"])
    assert found["sizes"] == [each["rows"] for each in found["curve"] if each["used"]]
    assert (found["batch_axis"], found["no_batch_axis_because"]) == (True, None)
    assert found["max_batch"] == 64
    assert found["rows_together"] == max(found["sizes"] or [1])
    quick = [each["rows"] for each in found["curve"] if each["seconds"] <= 0.001]
    assert found["rows_inline"] == max(quick, default=0)
    assert found["computed"] == ("inline" if quick else "worker")
    assert "timing" not in shown(capsys, str(root / "models" / "forecast.tflite"))


def test_timing_says_why_rows_stay_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.py").write_text("def double(x):\n    return x * 2\n")
    assert main(["models", "show", f"{tmp_path}/m.py:double", "--timing"]) == 0
    assert capsys.readouterr().out.splitlines()[-5:-1] == [
        "gpfn serve:",
        "  batch axis  no: a model of the backend python promises nothing of its rows",
        "  together    never several requests",
        "  computed    in a thread",
    ]


def test_timing_says_which_end_has_no_open_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)
    graph = helper.make_graph([node], "g", [x], [y])
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(whole.SerializeToString())
    found = shown(capsys, str(tmp_path / "m.onnx"), "--timing")["timing"]
    assert found["no_batch_axis_because"] == "y does not leave its first size open"
    assert [each["rows"] for each in found["curve"]] == [1], "the row itself is timed"
    assert (found["max_batch"], found["rows_together"]) == (0, 1)


def test_the_table_serving_is_shown_and_heeded(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes((root / "models" / "forecast.tflite").read_bytes())
    (tmp_path / "model.toml").write_text(
        'title = "M"\nlicence = "MIT"\nmodel = "m.tflite"\n'
        "[serving]\nmax_batch = 4\nmax_delay = 0.002\nprocesses = false\n"
    )
    found = shown(capsys, str(model), "--timing")
    served = {"max_batch": 4, "max_delay": 0.002, "processes": False}
    assert found["description"]["serving"] == served
    assert found["timing"]["declared_max_batch"] == found["timing"]["max_batch"] == 4
    assert max(each["rows"] for each in found["timing"]["curve"]) <= 4
    assert main(["models", "show", str(model), "--timing"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "serving  max_batch = 4, max_delay = 0.002, processes = false" in lines
    assert "  declared    max_batch = 4 in model.toml" in lines


def test_columns_and_classes_are_shown(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes((root / "models" / "forecast.tflite").read_bytes())
    (tmp_path / "model.toml").write_text(
        'model = "m.tflite"\nclasses = ["no", "yes"]\n'
        "columns = [{ name = 'a' }, { name = 'b', dtype = 'int64', default = 5 }, "
        "{ name = 'c', default = '?', missing = ['-'] }, { name = 'd', default = false }]\n"
    )
    found = shown(capsys, str(model))["description"]
    assert found["classes"] == ["no", "yes"]
    assert found["columns"][1] == {"name": "b", "dtype": "int64", "default": 5, "missing": []}
    assert main(["models", "show", str(model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "classes  no, yes" in lines
    assert "columns  a, b (int64, else 5), c (else '?'), d (else false)" in lines


def test_the_description_of_a_function_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.py").write_text("def double(x):\n    return x * 2\n")
    told = 'title = "D"\nlicence = "MIT"\nmodel = "m.py:double"\nserving.queue = 0\n'
    (tmp_path / "model.toml").write_text(told)
    found = shown(capsys, f"{tmp_path}/m.py:double")["description"]
    assert (found["title"], found["serving"]) == ("D", {"queue": 0})
