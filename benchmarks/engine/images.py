"""The images' sizes, and their times in the platforms' sandboxes, on a real engine.

Times are from the engine's command to the answer, medians of runs that take turns with
the floor: the same base image running `python3 -c pass` under the same flags. Memory is the
most that the container's cgroup has counted, threads are what it counts after the calls.
It is in a folder of its own because it needs an engine: `make images` runs it.

    GPFN_TEST_BASE=IMAGE python benchmarks/engine/images.py [--quick] [--json FILE]
"""

import argparse
import base64
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.images_engine.tags import tag_of  # noqa: E402
from tests.images_engine.wire import post, recorded, say, with_event  # noqa: E402

from gpfn.build.image import layers, packages  # noqa: E402
from gpfn.build.recipe import BASE  # noqa: E402
from gpfn.cli.main import main as gpfn  # noqa: E402
from gpfn.hosts.container import (  # noqa: E402
    Container,
    sandbox_flags,
)
from gpfn.hosts.engine import ContainerEngine  # noqa: E402

__all__ = ["main"]

EVENT = (ROOT / "ce_samples" / "forecast.json").read_bytes()
SHARED = Path(os.environ.get("GPFN_SHARED") or ROOT / ".." / "shared").resolve()
PHOTO = SHARED / "data" / "images" / "cat_720p.jpg"
NO_CODE = {"value": {"name": "classify", "main": "main", "binary": False, "env": {}}}
MB = 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line a figure, and write JSON when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few runs, that judge nothing, of images that are there",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    images = Images(os.environ.get("GPFN_TEST_BASE", BASE), reuse=args.quick)
    runs = 3 if args.quick else 15
    figures = [*_sizes(images), *_fn(images, runs), *_openwhisk(images, runs)]
    for figure in figures:
        print(f"{figure['what']:60} {figure['value']:10.1f} {figure['unit']:8} {figure['goal']}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _figure(what: str, value: float, unit: str, most: float | None = None) -> dict[str, Any]:
    return {
        "what": what,
        "value": value,
        "unit": unit,
        "peer": "",
        "ratio": None,
        "goal": "" if most is None else f"≤ {most:g} {unit}",
        "ok": None if most is None else value <= most,
    }


class Images:
    """Builds what is measured, or takes what the tests have built before."""

    def __init__(self, base: str, *, reuse: bool) -> None:
        self.engine, self.base, self._reuse = ContainerEngine(), base, reuse
        os.environ.setdefault("GPFN_MODEL_MIRROR", str(SHARED / "data" / "models"))

    def built(self, function: str, platform: str, *options: str) -> str:
        """Return the image of ``gpfn build FUNCTION --platform PLATFORM OPTION…``."""
        tag = tag_of(function, platform, *options)
        if self._reuse and self.engine.image_id(tag):
            return tag
        network = os.environ.get("GPFN_TEST_NETWORK", "host")
        where = ["--base", self.base, "--network", network, "--tag", tag]
        words = [*filter(None, [function]), "--platform", platform, *where, *options]
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            code = gpfn(["build", *words])
        if code:
            raise SystemExit(f"gpfn build {function} --platform {platform} failed")
        return tag


def _sizes(images: Images) -> list[dict[str, Any]]:
    found = []
    for function, platform, runtime in (
        ("functions/forecast", "fn", "litert"),
        ("functions/classify", "openwhisk", "litert"),
        ("functions/forecast", "http", "litert"),
        ("functions/forecast", "server", "litert"),
        ("", "server", "onnx"),
        ("", "server", "tensorflow"),
    ):
        options = () if runtime == "litert" and function else ("--runtime", runtime)
        image = images.built(function, platform, *options)
        ours = sum(row.size for row in layers(images.engine, image) if "COPY dir" in row.made_by)
        name = f"{Path(function).name or 'server'}, {platform}, {runtime}: over its base image"
        found.append(_figure(name, ours / MB, "MB", 120 if runtime == "litert" else None))
        if function.endswith("classify") or runtime == "tensorflow":
            rows = list(packages(images.engine, image).items())[:8]
            found += [_figure(f"    {package}", size / MB, "MB") for package, size in rows]
    return found


def _medians(runs: int, *sides: Callable[[], float]) -> list[float]:
    """Run the sides in turns; return the median of each, in milliseconds."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for side, kept in zip(sides, times, strict=True):
            kept.append(side())
    return [statistics.median(kept) * 1000 for kept in times]


def _fn(images: Images, runs: int) -> list[dict[str, Any]]:
    engine, base = images.engine, images.base
    image = images.built("functions/forecast", "fn")
    request = with_event(recorded(SHARED)["invoke, 8 byte body"], EVENT)

    def floor() -> float:
        with tempfile.TemporaryDirectory(prefix="iofs", dir="/tmp") as folder:
            flags = [
                *sandbox_flags("fn", 128, Path(folder)),
                "--network=none",
                "--entrypoint=python3",
            ]
            name = f"gpfn-bench-{time.monotonic_ns()}"
            began = time.perf_counter()
            engine.run("run", f"--name={name}", *flags, base, "-c", "pass")
            took = time.perf_counter() - began
            engine.run("rm", name)  # what a removal costs is not in it
            return took

    def ours() -> float:
        with tempfile.TemporaryDirectory(prefix="iofs", dir="/tmp") as folder:
            Path(folder).chmod(0o777)
            flags = [*sandbox_flags("fn", 128, Path(folder)), "--network=none"]
            container = Container(engine, image, flags)
            try:
                container.wait_until((Path(folder) / "lsnr.sock").exists, 10)
                say(Path(folder), request)
                return time.perf_counter() - container.started
            finally:
                container.stop()

    bare, first = _medians(runs, floor, ours)
    found = [
        _figure("container start to the end of python3 -c pass", bare, "ms"),
        _figure("container start to the first forecast (Fn, 128 MB)", first, "ms"),
        _figure("    more than the bare interpreter", first - bare, "ms", 200),
    ]
    forecast = _in_sandbox(engine, image, 128, request)
    photo = recorded(SHARED)["invoke, 8 byte body"].replace(b"text/plain", b"image/jpeg")
    classify_image = images.built("functions/classify", "fn")
    classify = _in_sandbox(engine, classify_image, 256, with_event(photo, PHOTO.read_bytes()))
    for name, limit, (memory, threads) in (
        ("forecast", 128, forecast),
        ("classify v2", 256, classify),
    ):
        found.append(_figure(f"{name} under Fn's limits: memory", memory / 2**20, "MiB", limit))
        found.append(_figure(f"{name} under Fn's limits: threads", threads, "threads", 20))
    return found


def _in_sandbox(engine: ContainerEngine, image: str, limit: int, request: bytes) -> tuple[int, int]:
    """Call 20 times; return the most memory in bytes, and the threads."""
    with tempfile.TemporaryDirectory(prefix="iofs", dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        container = Container(
            engine, image, [*sandbox_flags("fn", limit, Path(folder)), "--network=none"]
        )
        try:
            container.wait_until((Path(folder) / "lsnr.sock").exists, 10)
            for _ in range(20):
                if say(Path(folder), request).status != 200:
                    raise SystemExit(container.log())
            return container.memory(peak=True), container.threads()
        finally:
            container.stop()


def _openwhisk(images: Images, runs: int) -> list[dict[str, Any]]:
    image = images.built("functions/classify", "openwhisk")
    photo = base64.b64encode(PHOTO.read_bytes()).decode()
    call = {"value": {"image": photo, "model": "mobilenet_v1"}, "deadline": "4102444800000"}
    memory = []

    def cold() -> float:
        container = Container(images.engine, image, sandbox_flags("openwhisk", 256))
        try:
            address = container.address()
            post(address, "/init", NO_CODE)
            if "results" not in post(address, "/run", call).json():
                raise SystemExit(container.log())
            took = time.perf_counter() - container.started
            memory.append(container.memory(peak=True))
            return took
        finally:
            container.stop()

    (median,) = _medians(runs, cold)
    return [
        _figure("OpenWhisk cold: docker run, /init, /run of classify v1", median, "ms", 1000),
        _figure("classify on OpenWhisk: memory", max(memory) / 2**20, "MiB", 256),
    ]


if __name__ == "__main__":
    sys.exit(main())
