"""``gpfn predict``: files in, files out, the same numbers whatever computes them."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.repository.documents import manifest_document
from tests.cli.serving import serve

WINDOW = np.linspace(20, 30, 40, dtype=np.float32).reshape(2, 20, 1)


@pytest.fixture
def model(root: Path) -> str:
    return str(root / "models" / "forecast.tflite")


@pytest.fixture
def npy(tmp_path: Path) -> str:
    np.save(tmp_path / "in.npy", WINDOW)
    return str(tmp_path / "in.npy")


def test_npy_in_npy_out(model: str, npy: str, tmp_path: Path) -> None:
    target = tmp_path / "out.npy"
    assert main(["predict", model, "--input", npy, "--output", str(target)]) == 0
    found = np.load(target)
    assert found.shape == (2, 20, 1)
    assert found.dtype == np.float32
    assert np.abs(found[:, 10:, 0] - WINDOW[:, 10:, 0]).max() < 5, "a forecast, not noise"


def test_json_is_the_same_as_npy(
    model: str, npy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.json"
    source.write_text(json.dumps(WINDOW.tolist()))
    assert main(["predict", model, "--input", str(source)]) == 0
    from_json = json.loads(capsys.readouterr().out)
    target = tmp_path / "out.json"
    assert main(["predict", model, "--input", f"series={npy}", "--output", str(target)]) == 0
    assert json.loads(target.read_text()) == from_json


def test_described_output(model: str, npy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", model, "--input", npy, "--json", "--outputs", "forecast"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["backend"] == "litert"
    (output,) = found["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("forecast", "FP32", [2, 20, 1])
    assert len(output["data"]) == 40


def test_stdin(model: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "gpfn.cli.main", "predict", model, "--input", "-"],
        input=json.dumps(WINDOW.tolist()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert np.asarray(json.loads(run.stdout)).shape == (2, 20, 1)


def test_several_inputs_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sums.py").write_text(
        "from gpfn import TensorSpec\n"
        "from gpfn.models import declare\n"
        "vector = TensorSpec('float32', (None,))\n"
        "@declare(inputs={'a': vector, 'b': vector}, outputs={'sum': vector})\n"
        "def add(a, b):\n    return a + b\n"
    )
    monkeypatch.chdir(tmp_path)
    for name, values in (("a", [1, 2]), ("b", [10, 20])):
        np.save(tmp_path / f"{name}.npy", np.asarray(values, np.float32))
    model = str(tmp_path / "sums.py:add")
    assert main(["predict", model, "--input", "a=a.npy", "--input", "b=b.npy"]) == 0
    assert json.loads(capsys.readouterr().out) == [11, 22]
    (tmp_path / "both.json").write_text('{"a": [1], "b": [2]}')
    assert main(["predict", model, "--input", "both.json"]) == 0
    assert json.loads(capsys.readouterr().out) == [3]
    assert main(["predict", model, "--input", "a=a.npy", "--input", "a=b.npy"]) == 1
    assert "a: given twice" in capsys.readouterr().err
    assert main(["predict", model, "--input", "a=a.npy"]) == 1
    assert "b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--input", "absent.npy"], "--input: cannot read absent.npy: No such file"),
        (["--input", "window.txt"], "--input: expected a .npy, .json or .csv file, got"),
        (["--input", "IN", "--output", "out.csv"], "--output: expected a .npy or .json file"),
        (["--input", "IN", "--output", "none/out.npy"], "--output: cannot write none/out.npy"),
        (["--input", "IN", "--outputs", "other"], "other"),
        (
            ["--input", "IN", "--threads", "many"],
            "--threads: expected a whole number above 0 or auto",
        ),
        (["--input", "IN", "--threads", "0"], "--threads: expected a whole number above 0 or auto"),
        (["--input", "short.json"], "short.json"),
        (["--input", "broken.json"], "broken.json: not JSON"),
        (["--input", "empty.npy"], "empty.npy"),
        (["--input", "pickle.npy"], "pickle.npy"),
    ],
)
def test_what_is_wrong_is_named(
    options: list[str],
    says: str,
    model: str,
    npy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.json").write_text("[[1, 2, 3]]")
    (tmp_path / "broken.json").write_text("[[1, 2")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "pickle.npy", np.asarray([{}], object), allow_pickle=True)
    words = [npy if word == "IN" else word for word in options]
    assert main(["predict", model, *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1


def test_an_output_with_nan_is_still_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.py").write_text("import numpy as np\ndef nan(x):\n    return x * np.nan\n")
    np.save(tmp_path / "x.npy", np.ones(2, np.float32))
    words = ["predict", f"{tmp_path}/m.py:nan", "--input", f"{tmp_path}/x.npy"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == [None, None]
    assert main([*words, "--json"]) == 0
    assert json.load(io.StringIO(capsys.readouterr().out))["outputs"][0]["data"] == [None, None]


def test_a_csv_file_has_a_row_a_line(
    model: str, npy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [",".join(str(number) for number in row.ravel()) for row in WINDOW]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    assert main(["predict", model, "--input", str(tmp_path / "in.csv")]) == 0
    from_csv = json.loads(capsys.readouterr().out)
    assert main(["predict", model, "--input", npy]) == 0
    assert np.allclose(from_csv, json.loads(capsys.readouterr().out))


def test_a_model_of_a_server_by_its_name(
    root: Path, npy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = tmp_path / "tokens.txt"
    assert main(["tokens", "new", "me", "--file", str(tokens)]) == 0
    token = capsys.readouterr().out.strip()
    model = f"forecast={root / 'models' / 'forecast.tflite'}"
    with serve(tmp_path, "--model", model, "--tokens", str(tokens)) as served:
        for place in ("forecast", "forecast@1", "forecast@latest", "v2/models/forecast"):
            words = ["predict", f"{served.url}/{place}", "--input", npy, "--token", token]
            assert main([*words, "--json"]) == 0
            found = json.loads(capsys.readouterr().out)
            assert found["backend"] == "oip"
            assert found["outputs"][0]["shape"] == [2, 20, 1]
        by_v1 = ["predict", f"{served.url}/v1/models/forecast", "--input", npy]
        assert main([*by_v1, "--token", token, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["backend"] == "v1"
        for words in (["predict", f"{served.url}/forecast", "--input", npy], by_v1):
            assert main(words) == 1
            assert "401" in capsys.readouterr().err


def test_a_tag_is_resolved_once(
    npy: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.repository.making import manifest
    from tests.repository.serving import shelves_served

    monkeypatch.delenv("GPFN_TOKEN", raising=False)
    with shelves_served() as shelves:
        shelves.versions["m"] = {3: {**manifest_document(manifest(name="m"))}}
        shelves.tags["m"], shelves.history["m"], shelves.trash["m"] = {"stable": 3}, [], {}
        assert main(["predict", f"{shelves.url}/m@stable", "--input", npy]) == 1
        assert shelves.asked[0] == "GET /repository/models/m"
        assert all("/v2/models/m/versions/3" in line for line in shelves.asked[1:])
        assert main(["predict", f"{shelves.url}/m@old", "--input", npy]) == 1
        assert "m has no tag 'old'; there are stable" in capsys.readouterr().err
        assert main(["predict", f"{shelves.url}/m@", "--input", npy]) == 1
        assert "expected URL/NAME or URL/NAME@TAG" in capsys.readouterr().err
