"""Classy as its users run it: the same client and downloader before three kinds of model."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from gpfn.graphpipe import Client
from gpfn.models.pipeline import Stage, read_pipeline
from tests.cli.serving import Served, clean_environ, serve
from tests.peers import graphpipe_python

pytestmark = pytest.mark.slow

BURGER = "image 0 is class 933: cheeseburger"


class Quiet(SimpleHTTPRequestHandler):
    """A site of pictures that writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(shared: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(shared / "data" / "images"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def environ(shared: Path, site: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    host = site.removeprefix("http://")
    return clean_environ(
        GPFN_MODEL_MIRROR=str(shared / "data" / "models"),
        GPFN_CACHE_DIR=str(tmp_path_factory.mktemp("cache")),
        GPFN_DOWNLOAD_HOSTS=host,
        GPFN_DOWNLOAD_PORTS=host.rpartition(":")[2],
    )


@pytest.fixture(scope="module")
def onnx(
    root: Path, shared: Path, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The channels-first model, made from the real MobileNet by our script."""
    folder = tmp_path_factory.mktemp("made") / "mobilenet_v2_nchw"
    model = shared / "data" / "models" / "mobilenet_v2_1.0_224_quant.tflite"
    script = [str(root / "training" / "mobilenet_nchw.py"), "--model", str(model)]
    subprocess.run(
        [sys.executable, *script, "--out", str(folder)], check=True, env=environ, cwd=root
    )
    return folder / "mobilenet_v2_nchw.onnx"


@contextmanager
def stage(
    folder: Path, given: Stage, environ: dict[str, str], *more: str, target: str = ""
) -> Iterator[Served]:
    """Serve a stage of a file, as ``gpfn pipeline up`` does."""
    folder.mkdir()
    model = target or str(given.target).removeprefix("catalogue:")
    words = ["--model", os.path.abspath(model) if "/" in model else model]
    if given.parallel:
        words += ["--parallel", str(given.parallel)]
    with serve(folder, *words, *more, environ={**environ, **given.settings}) as served:
        yield served


@pytest.fixture(scope="module")
def downloader(
    root: Path, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    first = read_pipeline(root / "pipelines" / "classy.pipeline.toml").stages[0]
    with stage(tmp_path_factory.mktemp("downloader") / "x", first, environ) as served:
        yield served


@contextmanager
def behind(
    root: Path, folder: Path, name: str, environ: dict[str, str], onnx: Path
) -> Iterator[Served]:
    """Serve the preprocessor and the model of a file; gives the preprocessor."""
    _, prepare, model = read_pipeline(root / "pipelines" / f"{name}.pipeline.toml").stages
    target = str(onnx) if name == "classy-nchw" else ""
    with ExitStack() as stack:
        last = stack.enter_context(stage(folder / "model", model, environ, target=target))
        yield stack.enter_context(stage(folder / "prepare", prepare, environ, "--next", last.url))


@pytest.mark.parametrize("name", ["classy", "classy-v1", "classy-nchw"])
def test_the_model_is_swapped_behind_the_same_client_and_downloader(
    name, root, tmp_path, environ, onnx, downloader, shared, site
) -> None:
    sources = [str(shared / "data/images/burger.jpg"), f"{site}/burger.jpg", f"{site}/mug.png"]
    with behind(root, tmp_path, name, environ, onnx) as prepare:
        where = ["--at", downloader.url, "--next", prepare.url]
        done = subprocess.run(
            [sys.executable, "-m", "gpfn", "classy", *sources, f"{site}/none.jpg", *where],
            capture_output=True,
            text=True,
            env=environ,
            check=False,
            timeout=60,
        )
    lines = done.stdout.splitlines()
    assert lines[:2] == [BURGER, BURGER.replace("image 0", "image 1")]
    assert len(lines) == 3
    assert done.returncode == 1
    problem = done.stderr.splitlines()[-1]  # before it may stand that labels were fetched
    assert problem == f"image 3 ({site}/none.jpg): answered with status 404"


def photos(shared: Path, site: str) -> np.ndarray:
    images = np.empty(3, object)
    data = shared / "data" / "images"
    images[:] = [
        (data / "burger.jpg").read_bytes(), f"{site}/mug.png".encode(), b"no picture",
    ]  # fmt: skip
    return images


def test_sixty_four_at_once_keep_their_order(
    root, tmp_path, environ, onnx, downloader, shared, site
) -> None:
    images = photos(shared, site)
    found: dict[int, tuple[list[int], bool]] = {}

    def call(number: int, url: str) -> None:
        turned = np.roll(images, number % 3)
        with Client(downloader.url) as client:
            scores, unprepared, unfetched = client.infer([turned], config=url)
        best = np.roll(scores.argmax(1), -(number % 3)).tolist()
        told = [bool(a or b) for a, b in zip(unprepared, unfetched, strict=True)]
        found[number] = (best[:2], np.roll(told, -(number % 3)).tolist() == [False, False, True])

    with behind(root, tmp_path, "classy-v1", environ, onnx) as prepare:
        threads = [
            threading.Thread(target=call, args=(number, prepare.url)) for number in range(64)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 64
    assert {tuple(best) for best, _ in found.values()} == {(934, 505)}
    assert all(told for _, told in found.values())


def test_pypis_client_calls_every_stage(
    root, tmp_path, environ, onnx, downloader, shared, site
) -> None:
    program = """
import json, sys
import numpy as np
from graphpipe import remote
download, prepare, picture = sys.argv[1:]
images = np.array([open(picture, "rb").read()], object)
names = [], [], []
fetched = remote.execute_multi(download, [images], [], [], "")
prepared = remote.execute_multi(prepare, [images], [], [], "")
whole = remote.execute_multi(download, [images], [], [], prepare)
print(json.dumps([fetched[0][0] == images[0], int(prepared[0].argmax()), int(whole[0].argmax())]))
"""
    picture = shared / "data" / "images" / "burger.jpg"
    with behind(root, tmp_path, "classy", environ, onnx) as prepare:
        done = subprocess.run(
            [graphpipe_python(), "-c", program, downloader.url, prepare.url, str(picture)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[true, 934, 934]"
