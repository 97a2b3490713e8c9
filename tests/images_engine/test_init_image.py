"""``fn init --init-image``: the image that makes a function's folder, and the folder's image."""

import io
import subprocess
import tarfile
from pathlib import Path

from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import Build, Start
from tests.images_engine.test_fn_deploy import answers, docker_build

DOCKERFILE = "deploy/fn/init-image/Dockerfile"
INIT = "gpfn-test/init:0.1.0"


def made_by(image: str, name: str) -> bytes:
    """Return what the image prints when it is started as ``fn init`` starts it.

    cli/commands/init.go of fnproject/cli: without a network or a volume, the name in the
    environment, the tar on standard output.
    """
    command = ["docker", "run", "--rm", "--network=none", f"--env=FN_FUNCTION_NAME={name}", image]
    run = subprocess.run(command, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    return run.stdout


def test_the_folder_that_the_image_makes_is_deployed_and_answers(
    engine: ContainerEngine,
    build: Build,
    start: Start,
    folder: Path,
    shared: Path,
    tmp_path: Path,
) -> None:
    runtime = f"RUNTIME_IMAGE={build('', 'fn')}"
    model = "MODEL=models/forecast.tflite"
    docker_build(ROOT, INIT, "--build-arg", runtime, "--build-arg", model, dockerfile=DOCKERFILE)
    try:
        with tarfile.open(fileobj=io.BytesIO(made_by(INIT, "sales"))) as tar:
            tar.extractall(tmp_path, filter="data")
    finally:
        engine.run("image", "rm", INIT, check=False)
    assert (tmp_path / "func.init.yaml").is_file()
    assert (tmp_path / "forecast.tflite").read_bytes() == (
        ROOT / "models" / "forecast.tflite"
    ).read_bytes()
    tag = "gpfn-test/sales:0.0.1"
    docker_build(tmp_path, tag, "--build-arg", runtime)
    answers(start, tag, folder, shared)
