"""The platforms' images with another library inside, each in its platform's sandbox."""

import json
import shutil
from pathlib import Path

import pytest

from gpfn.build.image import packages
from gpfn.hosts.container import Container, sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from tests.conftest import ROOT
from tests.images_engine.conftest import Build, Start, census, gpfn
from tests.images_engine.test_server_images import EVENT, expected
from tests.images_engine.wire import recorded, say, with_event

FUNC = """\
from gpfn import Function, TensorSpec
forecast = Function(model="{model}", inputs={{"series": TensorSpec("float32", (None, 20, 1))}})
handler, main, app = forecast.fn, forecast.openwhisk, forecast.asgi
"""
MODELS = {"tensorflow": "rnn_ts_model.pb", "onnx": "forecast.onnx"}
LIBRARIES = {"tensorflow": "tensorflow", "onnx": "onnxruntime"}
MEMORY = 512


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A forecast function for each library."""
    found = {}
    for runtime, model in MODELS.items():
        folder = found[runtime] = tmp_path_factory.mktemp("functions") / f"forecast-{runtime}"
        folder.mkdir()
        (folder / "func.py").write_text(FUNC.format(model=model))
        (folder / "func.yaml").write_text(f"name: {runtime}\nversion: 1.0.0\nmemory: {MEMORY}\n")
        shutil.copyfile(ROOT / "models" / model, folder / model)
    return found


@pytest.mark.parametrize(
    ("runtime", "platform"),
    [("tensorflow", "fn"), ("tensorflow", "openwhisk"), ("tensorflow", "http"), ("onnx", "fn")],
)
def test_the_same_forecast(
    engine: ContainerEngine, build: Build, folders: dict[str, Path], runtime: str, platform: str
) -> None:
    folder = str(folders[runtime])
    image = build(folder, platform, "--runtime", runtime)
    found = packages(engine, image)
    assert LIBRARIES[runtime] in found
    assert "ai_edge_litert" not in found
    before = census(engine)
    words = [folder, "--platform", platform, "--engine", "docker", "--container", image]
    media = ["--content-type", "application/cloudevents+json"]
    run = gpfn("invoke", *words, *media, stdin=json.dumps(EVENT).encode())
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)["data"][0]
    assert [value for (value,) in answer] == pytest.approx(series_forecast(), abs=1e-3)
    assert census(engine) == before


@pytest.mark.parametrize("runtime", MODELS)
def test_under_fns_limits(
    build: Build, start: Start, folders: dict[str, Path], shared: Path, tmp_path: Path, runtime: str
) -> None:
    """TensorFlow starts threads by the core, and Fn allows 50 in all.

    Its memory is not compared: the cgroup counts the pages of its library up to the limit.
    """
    tmp_path.chmod(0o777)
    image = build(str(folders[runtime]), "fn", "--runtime", runtime)
    container: Container = start(image, [*sandbox_flags("fn", MEMORY, tmp_path), "--network=none"])
    container.wait_until((tmp_path / "lsnr.sock").exists, 5.0)
    request = with_event(recorded(shared)["invoke, 8 byte body"], json.dumps(EVENT).encode())
    for _ in range(5):
        assert say(tmp_path, request).status == 200, container.log()
    assert 0 < container.threads() <= 30
    assert container.state().running


def series_forecast() -> list[float]:
    """Return what the LiteRT model makes of the sample event."""
    import numpy as np

    window = np.array(EVENT["data"], np.float32).reshape(1, 20, 1)
    return [float(value) for value in expected(window)]
