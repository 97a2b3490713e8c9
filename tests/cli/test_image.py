"""``gpfn image`` as a user types it, and what becomes of its output."""

import base64
import json
import subprocess
import sys
from pathlib import Path

GPFN = str(Path(sys.executable).parent / "gpfn")


def gpfn(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([GPFN, *words], capture_output=True, text=True, timeout=60, check=False)


def test_params(root: Path, tmp_path: Path) -> None:
    image = root / "ce_samples" / "digit-7.png"
    run = gpfn("image", "params", str(image), "--topk", "1")
    assert (run.returncode, run.stderr) == (0, "")
    parameters = json.loads(run.stdout)
    assert base64.b64decode(parameters["image"]) == image.read_bytes()
    assert parameters["topk"] == 1
    file = tmp_path / "image.json"
    file.write_text(run.stdout)
    digits = str(root / "functions" / "digits")
    invoked = gpfn("invoke", digits, "--platform", "openwhisk", "-P", str(file))
    assert [result["className"] for result in json.loads(invoked.stdout)["results"]] == ["7"]


def test_a_model_is_named(root: Path) -> None:
    image = root / "ce_samples" / "digit-7.png"
    assert json.loads(gpfn("image", "params", str(image), "--model", "m").stdout)["model"] == "m"


def test_what_openwhisk_would_refuse_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(900_000))
    run = gpfn("image", "params", str(tmp_path / "large.jpg"))
    assert run.returncode == 0
    assert "OpenWhisk takes parameters of up to 1048576" in run.stderr


def test_a_file_that_is_not_there() -> None:
    run = gpfn("image", "params", "absent.jpg")
    assert run.returncode == 1
    assert run.stderr == "gpfn: absent.jpg: cannot be read: No such file or directory\n"
