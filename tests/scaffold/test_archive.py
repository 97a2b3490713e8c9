"""What ``fn init --init-image`` does with the tar that an image prints."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from gpfn.hosts.host import Invocation, StartedFunction, make_host
from gpfn.hosts.target import find_target
from tests.conftest import ROOT

BARE = """
import sys
sys.modules.update(dict.fromkeys(("yaml", "rich", "PIL", "onnx")))  # no image has them
from gpfn.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def printed(*words: str, name: str = "flowers") -> bytes:
    """Return what a container of the image prints, which has only what images have."""
    environ = {**os.environ, "FN_FUNCTION_NAME": name}
    command = [sys.executable, "-c", BARE, "init", *words, "--tar"]
    return subprocess.run(command, env=environ, capture_output=True, check=True).stdout


def unpacked(data: bytes, folder: Path) -> None:
    """Unpack as Fn's command line does (commands/init.go, untarStream)."""
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        for entry in tar:
            path = folder / entry.name
            if entry.isdir():
                path.mkdir(exist_ok=True)
            else:
                file = tar.extractfile(entry)
                assert file
                path.write_bytes(file.read())
                path.chmod(entry.mode)


def merged(folder: Path, name: str) -> None:
    """Make func.yaml of func.init.yaml: of that, Fn takes these keys and no other."""
    given = yaml.safe_load((folder / "func.init.yaml").read_text())
    taken = ("build", "build_image", "cmd", "content_type", "entrypoint", "run_image", "runtime")
    ours = {"schema_version": 20180708, "name": name, "version": "0.0.1"}
    ours |= {key: given[key] for key in taken if key in given}
    (folder / "func.yaml").write_text(yaml.safe_dump(ours))
    (folder / "func.init.yaml").unlink()


@pytest.mark.parametrize("model", ["affine.onnx", "forecast.tflite", "saved"])
def test_fn_unpacks_it_into_a_folder_that_works(models: Path, model: str) -> None:
    unpacked(printed("--from", model), Path("flowers"))
    merged(Path("flowers"), "flowers")
    sample = Path("flowers/sample.json").read_bytes()
    for platform in ("fn", "fdk"):
        with StartedFunction(make_host(platform, find_target("flowers"))) as running:
            answer = running.call(Invocation(sample, "text/plain"))
        assert not answer.failed
        assert json.loads(answer.body)["type"] == "com.example.flowers.response"
    modes = {p.stat().st_mode & 0o777 for p in Path("flowers").rglob("*") if p.is_file()}
    assert Path("flowers/func.py").stat().st_mode & 0o777 == 0o644
    assert modes <= {0o644, 0o666 & ~0o022}


def test_the_same_model_gives_the_same_tar(models: Path) -> None:
    assert printed("--from", "affine.onnx") == printed("--from", "affine.onnx")


def test_what_our_image_runs(tmp_path: Path) -> None:
    """The command of deploy/fn/init-image, with the program and the folder of this machine."""
    dockerfile = (ROOT / "deploy/fn/init-image/Dockerfile").read_text()
    values = dict(re.findall(r"^ARG (\w+)=(.*)$", dockerfile, re.MULTILINE))
    (command,) = re.findall(r"^ENTRYPOINT (exec .*)$", dockerfile, re.MULTILINE)
    command = command.replace("/opt/gpfn/bin/gpfn", f"{sys.executable} -m gpfn")
    environ = {**os.environ, "MODEL": values["MODEL"], "FN_FUNCTION_NAME": "sales"}
    run = subprocess.run(
        ["sh", "-c", command.replace("/template/", f"{ROOT}/")],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        check=True,
    )
    unpacked(run.stdout, tmp_path / "sales")
    assert {"func.init.yaml", "func.py", "Dockerfile", "forecast.tflite"} <= {
        path.name for path in (tmp_path / "sales").iterdir()
    }
    assert 'name="sales"' in (tmp_path / "sales" / "func.py").read_text()


def test_a_wrong_name_is_told_on_standard_error(models: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        printed("--from", "affine.onnx", name="Flowers")
    assert (caught.value.returncode, caught.value.stdout) == (1, b"")
    assert b"lower case: flowers" in caught.value.stderr
