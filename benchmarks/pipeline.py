"""What it costs that models stand in a row: each placement against the calls that it replaces.

The peer of a call through two servers is the sum of two direct calls, one to each, over kept
connections, measured in turn with it; the peer of a pipeline in this process is calling both
models by hand. Of calls to servers the figure is the median: the lowest tenth are those that
found both processors awake, which the length of a wait decides. In the process it is the lowest
tenth: what it takes when nobody else has the processors. Classy answers 16 mixed pictures, half
of them files and half addresses at a server that takes 100 ms for each: three processes against
one that does all of it, one after the other. Last, how much a server of a stage grows over
10,000 requests.

    python benchmarks/pipeline.py [--quick] [--json FILE]
"""

import argparse
import http.server
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from run import table

from gpfn import Function, TensorSpec
from gpfn.classy.download import Downloader
from gpfn.classy.prepare import Preprocessor
from gpfn.graphpipe import Client
from gpfn.models import open_model
from gpfn.models.pipeline import Pipeline, Stage

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
TABLE = TensorSpec("float32", (None, None))
X = np.array([[0, 1], [2, 3]], np.float32)
GO_HOP = 232
"""Microseconds of a call to graphpipe-go's echo server from Python, as measured once."""
PICTURES = 16
DOWNLOAD_SECONDS = 0.1
STAGE = """
from gpfn import Function, TensorSpec
TABLE = TensorSpec("float32", (None, None))
def step(x):
    return {{"x": {0}}}
step = Function(step, inputs={{"x": TABLE}}, outputs={{"x": TABLE}})
"""
STEPS = {"nothing": "x", "multiply": "2 * x", "add": "x + 1"}


@contextmanager
def server(*options: str, environ: Mapping[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """Run ``gpfn serve``; gives its address and its process."""
    command = [sys.executable, "-m", "gpfn", "serve", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})}
    )
    stderr = process.stderr
    assert stderr is not None
    try:
        url = ""
        for line in stderr:
            url = line.rsplit(" ", 1)[1].strip() if " listening on " in line else url
            if " ready: " in line:
                break
        else:
            raise RuntimeError(f"{' '.join(command)} did not start")
        threading.Thread(target=stderr.read, daemon=True).start()
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(20)
        stderr.close()


def times_of(
    jobs: Sequence[Callable[[], object]], rounds: int, calls: int, *, percentile: int = 10
) -> list[float]:
    """Return the time of one call of each job in µs, measured in turn."""
    samples: list[list[float]] = [[] for _ in jobs]
    for number in range(rounds + 1):
        for job, found in zip(jobs, samples, strict=True):
            for _ in range(calls):
                began = time.perf_counter()
                job()
                if number:  # the first round is to get warm
                    found.append(1e6 * (time.perf_counter() - began))
    return [float(np.percentile(found, percentile)) for found in samples]


def hops(folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Measure calls through two servers, over each placement."""
    for name, step in STEPS.items():
        (folder / f"{name}.py").write_text(STAGE.format(step))
    with ExitStack() as stack:

        def ask(*options: str, config: str = "") -> tuple[str, Callable[[], object]]:
            url, _ = stack.enter_context(server(*options))
            client = stack.enter_context(Client(url))
            return url, lambda: client.infer([X], config=config)

        behind, add = ask("--model", str(folder / "add.py"))
        passing, multiply = (
            ask("--model", str(folder / f"{name}.py"))[1] for name in ("nothing", "multiply")
        )
        through = ask("--model", str(folder / "nothing.py"), "--next", behind)[1]
        sequenced = ask("--model", str(folder / "multiply.py"), "--next", behind)[1]
        hybrid = ask("--model", str(folder / "multiply.py"), config=behind)[1]
        jobs = (add, passing, multiply, through, sequenced, hybrid)
        times = times_of(jobs, *((3, 50) if quick else (60, 100)), percentile=50)
    to_add, to_passing, to_multiply, *whole = times
    rows = (
        ("a call through a stage that does nothing to a model behind it", to_passing, 1.15),
        ("the toy pair, the server calling the next", to_multiply, 1.1),
        ("the toy pair, the caller naming the next", to_multiply, 1.1),
    )
    return [
        figure(what, took, first + to_add, goal)
        for (what, first, goal), took in zip(rows, whole, strict=True)
    ]


def figure(what: str, took: float, peer: float, goal: float) -> dict[str, Any]:
    """Return the figure of a call in µs beside the sum of two direct ones."""
    return {
        "what": f"{what}, 1 connection",
        "value": round(took),
        "unit": "µs",
        "peer": f"two direct calls: {peer:.0f} µs; one to graphpipe-go's echo: {GO_HOP}",
        "ratio": round(took / peer, 2),
        "goal": goal,
        "ok": took / peer <= goal,
    }


def in_process(*, quick: bool) -> dict[str, Any]:
    """Measure a pipeline of two stages in this process."""
    double, plus = (
        Function(step, inputs={"x": TABLE}, outputs={"x": TABLE}).as_model()
        for step in (lambda x: {"x": 2 * x}, lambda x: {"x": x + 1})
    )
    pipeline = Pipeline([Stage("multiply", double), Stage("add", plus)])
    x = {"x": X}
    jobs = (lambda: pipeline(x), lambda: plus(double(x)))
    ours, hand = times_of(jobs, *((3, 200) if quick else (50, 1000)))
    return {
        "what": "a pipeline of two stages in the process, over calling both by hand",
        "value": round(ours - hand, 1),
        "unit": "µs",
        "peer": f"by hand: {hand:.1f} µs",
        "ratio": round(ours / hand, 2),
        "goal": "≤ 10 µs",
        "ok": ours - hand <= 10,
    }


@contextmanager
def slow_pictures(picture: bytes) -> Iterator[int]:
    """Serve a picture at every path, each after a while; gives the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(DOWNLOAD_SECONDS)
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site.server_address[1]
        site.shutdown()


def picture() -> bytes:
    """Return a photo-like JPEG of 1280 by 720 pixels."""
    from PIL import Image

    noise = np.random.default_rng(3).integers(0, 255, (90, 160, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((1280, 720), Image.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


def classy(*, quick: bool) -> dict[str, Any]:
    """Measure 16 pictures through three processes, and through this one alone."""
    data = picture()
    spec = {"height": 8, "width": 8, "channels": "L", "layout": "NHWC", "quantised": True,
            "fit": "crop"}  # fmt: skip
    with slow_pictures(data) as port, ExitStack() as stack:
        own = {"GPFN_DOWNLOAD_HOSTS": f"127.0.0.1:{port}", "GPFN_DOWNLOAD_PER_HOST": "8",
               "GPFN_IMAGE_INPUT": json.dumps(spec), "GPFN_MAX_BODY_BYTES": "64MiB"}  # fmt: skip
        model, _ = stack.enter_context(server("--model", "digits"))
        functions = ROOT / "functions"
        prepare, _ = stack.enter_context(
            server("--model", str(functions / "prepare" / "func.py"), "--next", model, environ=own)
        )
        download, _ = stack.enter_context(
            server("--model", str(functions / "download" / "func.py"), environ=own)
        )
        client = stack.enter_context(Client(download))
        os.environ.update(own)
        alone = one_by_one()
        images = np.empty(PICTURES, object)
        urls = [f"http://127.0.0.1:{port}/{n}.jpg".encode() for n in range(PICTURES // 2)]
        images[:] = [each for pair in zip([data] * len(urls), urls, strict=True) for each in pair]
        jobs = (lambda: client.infer([images], config=prepare), lambda: alone(images))
        ours, theirs = times_of(jobs, *((1, 1) if quick else (8, 2)))
    return {
        "what": f"Classy on {PICTURES} mixed pictures, downloads of 100 ms, three processes",
        "value": round(ours / 1000),
        "unit": "ms",
        "peer": f"one process, one after the other: {theirs / 1000:.0f} ms",
        "ratio": round(ours / theirs, 2),
        "goal": 0.7,
        "ok": ours / theirs <= 0.7,
    }


def one_by_one() -> Callable[[np.ndarray], object]:
    """Return what does the same in this process, a picture after the other."""
    download, prepare = (Function(step).as_model() for step in (Downloader(), Preprocessor()))
    model = open_model(str(ROOT / "models" / "digits.tflite"))
    line = Pipeline([Stage("download", download), Stage("prepare", prepare), Stage("model", model)])

    def run(images: np.ndarray) -> list[object]:
        return [line({"images": images[n : n + 1]}) for n in range(len(images))]

    return run


def growth(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Measure how a server that calls the next one grows."""
    with (
        server("--model", str(folder / "add.py")) as (behind, _),
        server("--model", str(folder / "multiply.py"), "--next", behind) as (url, pid),
        Client(url) as client,
    ):
        for _ in range(300 if quick else 3000):
            client.infer([X])
        before = resident(pid)
        for _ in range(1000 if quick else 10_000):
            client.infer([X])
        grown = (resident(pid) - before) / 1e6
    return {
        "what": "growth of a stage's server over 10,000 requests",
        "value": round(grown, 2),
        "unit": "MB",
        "peer": "none",
        "ratio": None,
        "goal": "< 1 MB",
        "ok": grown < 1,
    }


def resident(pid: int) -> int:
    """Return the resident bytes of a process and of those that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [
            *hops(folder, quick=args.quick),
            in_process(quick=args.quick),
            classy(quick=args.quick),
            growth(folder, quick=args.quick),
        ]
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
