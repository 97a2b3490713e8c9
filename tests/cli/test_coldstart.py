"""``gpfn coldstart`` as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GPFN = str(Path(sys.executable).parent / "gpfn")


def coldstart(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [GPFN, "coldstart", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize("function", ["digits", "forecast"])
def test_a_function_is_measured_with_its_sample(root: Path, tmp_path: Path, function: str) -> None:
    picture = tmp_path / "call.png"
    words = [str(root / "functions" / function), "--calls", "20", "--cold", "2"]
    run = coldstart(*words, "--picture", str(picture))
    assert (run.returncode, run.stderr) == (0, "")
    assert [line.split()[0] for line in run.stdout.splitlines()[1:5]] == [
        *("process", "import", "load", "warm-up")
    ]
    assert "2 cold and 20 warm calls" in run.stdout
    assert "Give the container 128 MB" in run.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_price_image_and_parameters(root: Path) -> None:
    run = coldstart(
        str(root / "functions/digits"),
        *("--image", str(root / "ce_samples/digit-7.png"), "-p", "topk", "1"),
        *("--calls", "3", "--cold", "1", "--price", "0.001", "--json"),
    )
    assert (run.returncode, run.stderr) == (0, "")
    found = json.loads(run.stdout)
    assert found["calls"] == {"cold": 1, "warm": 3}
    assert found["price_per_gb_second"] == 0.001
    assert found["cost_per_million"]["warm"] == pytest.approx(12.5)


def test_missing_models_are_fetched_and_shown(root: Path, shared: Path, tmp_path: Path) -> None:
    words = [str(root / "functions/classify"), "--calls", "2", "--cold", "1"]
    places = {
        "GPFN_CACHE_DIR": str(tmp_path),
        "GPFN_MODEL_MIRROR": str(shared / "data/models"),
    }
    run = coldstart(*words, **places)
    assert run.returncode == 0, run.stderr
    names = [line.split()[0] for line in run.stderr.splitlines()]
    assert names == ["mobilenet_v2_1.0_224_quant.tflite", "imagenet_labels.txt"]
    run = coldstart(*words, "-p", "model", "mobilenet_v1", **places)
    assert run.returncode == 0, run.stderr
    assert run.stderr.split()[0] == "mobilenet_v1_0.25_128_quant.tflite"
    assert coldstart(*words, **places).stderr == ""


def test_what_cannot_be_measured_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "func.py").write_text("raise SystemExit\n")
    run = coldstart(str(tmp_path))
    assert (run.returncode, run.stdout) == (1, "")
    assert "no sample.json" in run.stderr
    digits = str(root / "functions/digits")
    run = coldstart(digits, "-p", "image", "no image", "--cold", "1", "--calls", "1")
    assert run.returncode == 1
    assert "fails on this input" in run.stderr
    assert run.stderr.count("\n") == 1
    for words in (["--calls", "0"], ["--cold", "x"], ["--price", "-1"], ["--price", "nan"], []):
        target = [digits] if words else []
        assert coldstart(*target, *words).returncode == 2, words
