"""Classify a photo on OpenWhisk: warm, cold, and in how much memory.

The function is functions/classify with MobileNet v2 under `gpfn run openwhisk`, asked as
OpenWhisk asks: POST /init, then POST /run with the 720p photo in base64. Beside it the
floor, the same work by Pillow and LiteRT alone: decode the JPEG at the scale that is
needed, crop, invoke, take the best three. Warm, a request and reply over TCP is compared
with a call of the floor; cold, a process from its start to the first answer with a
process of the floor: interpreter, imports, load and one call. The sides take turns;
bytecode is compiled first, as an image has it, and the page cache is warm. Memory is the
most that was resident. The blog is the one from 2018 that this function goes back to.

    python benchmarks/classify.py [--quick] [--json FILE]
"""

import argparse
import base64
import compileall
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("GPFN_SHARED") or ROOT.parent / "shared")
PHOTO = SHARED / "data" / "images" / "cat_720p.jpg"
MODEL = SHARED / "data" / "models" / "mobilenet_v2_1.0_224_quant.tflite"
LABELS = SHARED / "data" / "models" / "imagenet_labels.txt"
FUNCTION = ROOT / "functions" / "classify"
BLOG_WARM_MS, BLOG_COLD_MS = 316, 1260
PATIENCE = 60.0

FLOOR = """
import base64, io, sys, time
import numpy as np
from PIL import Image, JpegImagePlugin
from ai_edge_litert.interpreter import Interpreter

photo, model, labels = sys.argv[1:]
text = base64.b64encode(open(photo, "rb").read())
labels = open(labels).read().splitlines()
interpreter = Interpreter(model_path=model, num_threads=1)
interpreter.allocate_tensors()
source = interpreter.get_input_details()[0]["index"]
target = interpreter.get_output_details()[0]["index"]

def classify():
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(base64.b64decode(text)))
    image.draft("RGB", (224, 224))
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    image = image.resize((224, 224), Image.Resampling.BILINEAR, box)
    interpreter.set_tensor(source, np.asarray(image)[None])
    interpreter.invoke()
    scores = interpreter.get_tensor(target)[0]
    return [(labels[i], scores[i] / 256) for i in np.argsort(-scores.astype(int))[:3]]

assert classify()[0][0] == "Egyptian cat"
print("done", flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    classify()
    print(time.perf_counter() - began, flush=True)
"""


class Floor:
    """A process of Pillow and LiteRT alone; it classifies the photo when it is told to."""

    def __init__(self) -> None:
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-c", FLOOR, str(PHOTO), str(MODEL), str(LABELS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._said("done\n")
        self.cold = time.perf_counter() - began
        self.peak = peak(self._process.pid)

    def call(self) -> float:
        """Return the seconds of one call, as its process measures them."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._said())

    def _said(self, wanted: str = "") -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line or (wanted and line != wanted):
            raise RuntimeError(f"Pillow and LiteRT gave no answer: {line!r}")
        return line

    def stop(self) -> None:
        """End it."""
        self._process.communicate()


class Action:
    """The function under OpenWhisk's contract; ``cold`` is until its first answer."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        port = free_port()
        command = [str(Path(sys.executable).with_name("gpfn")), "run", "openwhisk"]
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, str(folder / "func.py")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**environ, "PORT": str(port)},
        )
        try:
            self._connection = connected(port, self._process)
            self._post("/init", json.dumps({"value": {"name": "classify", "main": "main"}}))
            image = base64.b64encode(PHOTO.read_bytes()).decode()
            self._run = json.dumps({"value": {"image": image}, "activation_id": "0" * 32})
            answer = self._post("/run", self._run)
            self.cold = time.perf_counter() - began
            _check(answer)
        except BaseException:
            self._process.kill()
            raise

    def call(self) -> float:
        """Return the seconds from request to reply."""
        began = time.perf_counter()
        self._post("/run", self._run)
        return time.perf_counter() - began

    def _post(self, path: str, body: str) -> bytes:
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        reply = response.read()
        if response.status != 200 or b'"error"' in reply:
            raise RuntimeError(f"{path}: {response.status} {reply[:300]!r}")
        return reply

    @property
    def peak(self) -> float:
        """The most megabytes that were resident."""
        return peak(self._process.pid)

    def stop(self) -> None:
        """End it."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()


def _check(answer: bytes) -> None:
    if "cat" not in json.loads(answer)["results"][0]["className"]:
        raise RuntimeError(f"this is no cat: {answer!r}")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def connected(port: int, process: "subprocess.Popen[bytes]") -> http.client.HTTPConnection:
    """Connect as soon as it listens; it does so before it loads, and answers after."""
    give_up = time.perf_counter() + PATIENCE
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    while time.perf_counter() < give_up and process.poll() is None:
        try:
            connection.connect()
        except OSError:
            time.sleep(0.0005)
        else:
            return connection
    raise RuntimeError("the action did not start")


def peak(pid: int) -> float:
    """Return the most megabytes that a process had resident."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """Put the models where the function looks for them."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GPFN_")}
        environ = {**kept, "GPFN_CACHE_DIR": folder, "GPFN_MODEL_MIRROR": str(MODEL.parent)}
        pull = [str(Path(sys.executable).with_name("gpfn")), "models", "pull"]
        subprocess.run(
            [*pull, "mobilenet_v1", "mobilenet_v2"], env=environ, check=True, capture_output=True
        )
        yield environ


def warm(environ: dict[str, str], calls: int) -> tuple[float, float, float]:
    """Return the median seconds of a request and of a call of the floor, and the peak in MB."""
    action, floor = Action(FUNCTION, environ), Floor()
    try:
        pairs = [(action.call(), floor.call()) for _ in range(calls)]
        ours, bare = zip(*pairs, strict=True)
        return statistics.median(ours), statistics.median(bare), action.peak
    finally:
        action.stop()
        floor.stop()


def cold(environ: dict[str, str], rounds: int) -> tuple[float, float]:
    """Return the median seconds from process start to the first answer, and the floor's."""
    ours, bare = [], []
    for _ in range(rounds + 1):
        action = Action(FUNCTION, environ)
        action.stop()
        floor = Floor()
        floor.stop()
        ours.append(action.cold)
        bare.append(floor.cold)
    return statistics.median(ours[1:]), statistics.median(bare[1:])


def smaller(environ: dict[str, str], calls: int) -> float:
    """Return the peak in MB of the same function with MobileNet v1 0.25."""
    with tempfile.TemporaryDirectory() as folder:
        source = (FUNCTION / "func.py").read_text()
        source = source.replace('"mobilenet_v2", "mobilenet_v1"', '"mobilenet_v1"')
        source = source.replace("catalogue:mobilenet_v2", "catalogue:mobilenet_v1")
        if "mobilenet_v2" in source:
            raise RuntimeError("functions/classify/func.py names mobilenet_v2 in another way")
        (Path(folder) / "func.py").write_text(source)
        action = Action(Path(folder), environ)
        for _ in range(calls):
            action.call()
        found = action.peak
        action.stop()
    return found


def figure(
    what: str, value: float, unit: str, peer: str, peer_value: float, goal: float | None
) -> dict[str, Any]:
    """Return a figure whose goal is on the ratio to a peer."""
    ratio = value / peer_value
    return {
        "what": what,
        "value": round(value, 2),
        "unit": unit,
        "peer": f"{peer}: {peer_value:.4g} {unit}",
        "ratio": round(ratio, 3),
        "goal": None if goal is None else f"≤ {goal}",
        "ok": None if goal is None else ratio <= goal,
    }


def memory(what: str, value: float, goal: int) -> dict[str, Any]:
    """Return a figure whose goal is on the value."""
    figure = {"what": what, "value": round(value, 1), "unit": "MB", "peer": None, "ratio": None}
    return {**figure, "goal": f"≤ {goal} MB", "ok": value <= goal}


def figures(*, quick: bool) -> list[dict[str, Any]]:
    """Measure everything."""
    calls, rounds = (20, 2) if quick else (400, 20)
    with environment() as environ:
        request, alone, peak_v2 = warm(environ, calls)
        first, bare = cold(environ, rounds)
        peak_v1 = smaller(environ, calls)
    what_warm = "classify a 720p photo with MobileNet v2 on OpenWhisk, warm"
    what_cold = "process start to first classification, MobileNet v2 on OpenWhisk"
    floor = "decode + invoke alone"
    floor_cold = "interpreter, imports, load, one call alone"
    return [
        figure(what_warm, request * 1e3, "ms", floor, alone * 1e3, 1.5),
        figure(what_warm, request * 1e3, "ms", "the blog, 2018", BLOG_WARM_MS, None),
        figure(what_cold, first * 1e3, "ms", floor_cold, bare * 1e3, 1.5),
        figure(what_cold, first * 1e3, "ms", "the blog, 2018", BLOG_COLD_MS, 0.25),
        memory("classify with MobileNet v2, most memory", peak_v2, 100),
        memory("classify with MobileNet v1 0.25, most memory", peak_v1, 70),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    for folder in (ROOT / "src", FUNCTION):
        compileall.compile_dir(folder, quiet=1)
    text = json.dumps(figures(quick=args.quick), ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
