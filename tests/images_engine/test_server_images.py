"""The HTTP image and the model server's, in what a careful cluster gives them."""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from gpfn.build.image import packages
from gpfn.graphpipe.client import Client
from gpfn.hosts.container import Container, sandbox_flags
from gpfn.hosts.engine import ContainerEngine
from gpfn.oip.grpc_client import GrpcInferenceClient
from tests.conftest import ROOT
from tests.deploy.test_descriptors import kind
from tests.images_engine.conftest import NETWORK, Build, Start, gpfn
from tests.images_engine.wire import post

EVENT = json.loads((ROOT / "ce_samples" / "forecast.json").read_text())
SECONDS = 60.0
WINDOW = np.arange(20, dtype=np.float32).reshape(1, 20, 1)

MODELS = {"litert": "forecast.tflite", "tensorflow": "rnn_ts_model.pb", "onnx": "forecast.onnx"}


def healthy(container: Container) -> None:
    """Wait until the image's own HEALTHCHECK says that it is well."""
    container.wait_until(lambda: container.state().health == "healthy", SECONDS)


def get(url: str) -> bytes:
    """GET, for a few seconds until it is answered."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bytes(response.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_the_http_image_answers_and_is_healthy(build: Build, start: Start) -> None:
    container = start(build("functions/forecast", "http"), sandbox_flags("http", 128))
    address = container.address()
    get(f"http://{address}:8080/health/ready")
    reply = post(address, "/", EVENT)
    assert reply.status == 200
    assert np.array(reply.json()["data"]).size == 20
    healthy(container)
    assert container.threads() <= 20
    ended = container.stop(grace=10)
    assert ended is not None
    assert (ended.exit_code, ended.killed) == (0, False), "SIGTERM drains and ends"


@pytest.mark.parametrize("runtime", MODELS)
def test_the_model_server_has_graphpipe_tfs_flags(build: Build, start: Start, runtime: str) -> None:
    """An old command line, with the image's name changed, on a model file of every kind."""
    image = build("", "server", "--runtime", runtime)
    flags = [*sandbox_flags("http", 512), f"--volume={ROOT / 'models'}:/models:ro"]
    container = start(image, flags, "--model", f"/models/{MODELS[runtime]}", "-v")
    address = container.address()
    get(f"http://{address}:9000/control/is_ready")
    with Client(f"http://{address}:9000") as client:
        (answer,) = client.infer([WINDOW])
    assert answer.shape == (1, 20, 1)
    assert answer.ravel()[0] == pytest.approx(expected()[0], abs=1e-3)
    assert container.threads() <= 30
    ended = container.stop(grace=10)
    assert ended is not None
    assert ended.exit_code == 0


def test_the_model_server_takes_its_settings_from_the_environment(
    build: Build, start: Start
) -> None:
    image = build("", "server", "--runtime", "litert")
    flags = [*sandbox_flags("http", 256), f"--volume={ROOT / 'models'}:/models:ro"]
    container = start(image, [*flags, "--env=GP_MODEL=/models/forecast.tflite"])
    healthy(container)


def test_a_function_s_model_is_in_its_servers_image(build: Build, start: Start) -> None:
    container = start(
        build("functions/forecast", "server"),
        [*sandbox_flags("http", 128), "--publish=127.0.0.1::9000"],
    )
    get(f"http://{container.address()}:9000/control/is_ready")
    with Client(f"http://{container.address()}:9000") as client:
        assert client.infer([WINDOW])[0].shape == (1, 20, 1)


def test_what_the_descriptor_for_kubernetes_starts(
    build: Build, start: Start, tmp_path: Path
) -> None:
    """Its arguments, variables, memory and folders, on the plain image."""
    pod = kind("kubernetes/server.yaml", "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    folder = tmp_path / "forecast" / "1"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "forecast.tflite", folder)
    for made in (tmp_path, *tmp_path.rglob("*")):
        made.chmod(0o755 if made.is_dir() else 0o644)
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    memory = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    flags = [*sandbox_flags("server", memory), f"--volume={tmp_path}:{places['models']}:ro"]
    flags += [f"--env={one['name']}={one['value']}" for one in container["env"]]
    flags += [f"--user={pod['securityContext']['runAsUser']}"]
    server = start(build("", "server", "--runtime", "litert"), flags, *container["args"])
    address = f"http://{server.address()}:{container['ports'][0]['containerPort']}"
    for probe in ("startup", "readiness", "liveness"):
        get(address + container[f"{probe}Probe"]["httpGet"]["path"])
    with Client(f"{address}/graphpipe/forecast") as client:
        assert client.infer([WINDOW])[0].shape == (1, 20, 1)
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    with GrpcInferenceClient(f"grpc://{server.address()}:{ports['grpc']}") as client:
        assert client.infer("forecast", {"series": WINDOW}).outputs["forecast"].shape == (1, 20, 1)
    assert b'gpfn_model_ready{model="forecast",version="1"} 1' in get(f"{address}/metrics")
    ended = server.stop(grace=pod["terminationGracePeriodSeconds"])
    assert ended is not None
    assert (ended.exit_code, ended.killed) == (0, False)


def test_the_old_name_is_a_second_tag(engine: ContainerEngine, base: str) -> None:
    """What names it graphpipe, a command line as well as a descriptor, finds the image."""
    where = ["--base", base, "--network", NETWORK]
    run = gpfn("build", "functions/forecast", "--platform", "graphpipe", *where)
    assert run.returncode == 0, run.stderr[-3000:]
    names = ["forecast-server:0.0.1", "forecast-graphpipe:0.0.1"]
    assert engine.image_id(names[0]) == engine.image_id(names[1]) != ""
    engine.run("image", "rm", *names)


def test_grpc_is_left_out_where_a_build_argument_says_so(
    engine: ContainerEngine, build: Build, base: str
) -> None:
    command = ["build", "--quiet", "--network", NETWORK, "--build-arg", f"BASE={base}"]
    command += ["--build-arg", "EXTRAS=server,forms", "--file", "runtimes/server/Dockerfile"]
    engine.run(*command, "--tag", "gpfn-test/without-grpc:1", str(ROOT))
    small = packages(engine, "gpfn-test/without-grpc:1")
    whole = packages(engine, build("", "server", "--runtime", "litert"))
    assert {"grpc", "google", "uvloop"} <= set(whole)
    assert {"uvloop"} == {"grpc", "google", "uvloop"} & set(small)
    assert sum(whole.values()) - sum(small.values()) < 25_000_000
    engine.run("image", "rm", "gpfn-test/without-grpc:1")


def test_a_repository_takes_an_upload_from_the_host_with_a_token(
    build: Build, start: Start, tmp_path: Path
) -> None:
    store, tokens = tmp_path / "store", tmp_path / "tokens"
    store.mkdir()
    store.chmod(0o777)  # whoever runs in the image is nobody here
    made = gpfn("tokens", "new", "anna", "--scope", "write", "--file", str(tokens), "--json")
    token = json.loads(made.stdout)["token"]
    tokens.chmod(0o644)
    flags = [*sandbox_flags("http", 512), "--publish=127.0.0.1::8083"]
    flags += [f"--volume={store}:/models", f"--volume={tokens}:/tokens:ro"]
    words = ("--listen", "0.0.0.0:8083", "--repository", "/models", "--tokens", "/tokens")
    container = start(build("", "server", "--runtime", "litert"), flags, *words)
    url = f"http://{container.address()}:8083"
    get(f"{url}/control/is_ready")
    form = ["-F", "name=forecast", "-F", f"model=@{ROOT / 'models/forecast.tflite'}"]
    told = []
    for headers in ([], ["-H", f"Authorization: Bearer {token}"]):
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *headers, *form]
        done = subprocess.run(
            [*command, f"{url}/upload"], capture_output=True, text=True, check=True
        )
        told.append(done.stdout)
    assert told == ["401", "200"]
    row = json.dumps({"model": "forecast", "values": WINDOW.ravel().tolist()}).encode()
    request = urllib.request.Request(f"{url}/json", row, {"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        answer = np.array(json.loads(reply.read()))
    assert answer.ravel()[0] == pytest.approx(expected()[0], abs=1e-3)


def test_a_server_without_a_model_says_so(build: Build, start: Start) -> None:
    container = start(build("", "server", "--runtime", "litert"), sandbox_flags("http", 128))
    end = time.monotonic() + SECONDS
    while container.state().running and time.monotonic() < end:
        time.sleep(0.05)
    assert container.state().exit_code == 1
    assert "--model is required" in container.log()


def expected(window: np.ndarray = WINDOW) -> np.ndarray:
    """Return what the model computes in this process."""
    from gpfn.models import open_model

    model = open_model(str(ROOT / "models" / "forecast.tflite"))
    return model({model.inputs[0].name: window})[model.outputs[0].name].ravel()
