"""Process start to first forecast: LiteRT in a function, and TensorFlow by its C library.

The function is started as a container's entry point starts it (`gpfn run fn`), and asked
for a forecast with a CloudEvent through its socket as soon as that appears; beside it the
floor, an interpreter that imports NumPy and LiteRT, loads the same model and runs it once.
TensorFlow's C library under gpfn is measured against importing the package, with the same
SavedModel and the same frozen graph. Bytecode is compiled first, as an image has it; the
page cache is warm. The sides take turns. Memory is the resident set after the answer.

    python benchmarks/cold_start.py [--quick] [--json FILE]
"""

import argparse
import compileall
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "models"
FUNCTION = ROOT / "functions" / "forecast"
EVENT = ROOT / "ce_samples" / "forecast.json"
PATIENCE = 60.0

BARE = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
windows = np.zeros((1, 20, 1), np.float32)
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], windows)
interpreter.invoke()
interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
print("done", flush=True)
sys.stdin.read()
"""

OURS = """
import sys
import numpy as np
from gpfn.models import open_model
open_model(sys.argv[1])({"series": np.zeros((1, 20, 1), np.float32)})
print("done", flush=True)
sys.stdin.read()
"""

SAVED = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
model(series=tf.constant(np.zeros((1, 20, 1), np.float32)))["forecast"].numpy()
print("done", flush=True)
sys.stdin.read()
"""

FROZEN = """
import sys
import numpy as np
import tensorflow as tf
graph_def = tf.compat.v1.GraphDef()
with open(sys.argv[1], "rb") as file:
    graph_def.ParseFromString(file.read())
with tf.Graph().as_default():
    tf.import_graph_def(graph_def, name="")
    session = tf.compat.v1.Session()
    session.run("forecast:0", {"series:0": np.zeros((1, 20, 1), np.float32)})
print("done", flush=True)
sys.stdin.read()
"""


class Start(NamedTuple):
    """One start: seconds to the first answer, and megabytes resident then."""

    seconds: float
    megabytes: float


def program(code: str, model: Path) -> Start:
    """Start an interpreter that prints a line when it has its answer."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert process.stdin
    assert process.stdout
    line = process.stdout.readline()
    found = Start(time.perf_counter() - started, resident(process.pid))
    process.stdin.close()
    process.wait()
    process.stdout.close()
    if line != b"done\n":
        raise RuntimeError(f"no answer from {model}")
    return found


def function() -> Start:
    """Start the forecast function under Fn's contract and ask it once."""
    body = EVENT.read_bytes()
    head = (
        "POST /call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n"
        f"Content-Length: {len(body)}\r\nFn-Call-Id: 01COLDSTART\r\n"
        "Fn-Deadline: 2099-01-01T00:00:00Z\r\n\r\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lsnr.sock")
        command = [str(Path(sys.executable).with_name("gpfn")), "run", "fn"]
        environment = {k: v for k, v in os.environ.items() if k != "GP_SERVER_URL"}
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, str(FUNCTION / "func.py")],
            stderr=subprocess.DEVNULL,
            env={**environment, "FN_LISTENER": f"unix:{path}", "FN_FORMAT": "http-stream"},
        )
        with connected(path, process) as sock:
            sock.sendall(head.encode() + body)
            reply = sock.recv(1 << 20)
        found = Start(time.perf_counter() - started, resident(process.pid))
        process.terminate()
        process.wait()
    if b" 200 " not in reply[:20] or b'"data"' not in reply:
        raise RuntimeError(f"no forecast: {reply[:500]!r}")
    return found


def connected(path: str, process: "subprocess.Popen[bytes]") -> socket.socket:
    """Connect as soon as the socket is there."""
    give_up = time.perf_counter() + PATIENCE
    while time.perf_counter() < give_up and process.poll() is None:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            time.sleep(0.0005)
        else:
            sock.settimeout(PATIENCE)
            return sock
    raise RuntimeError("the function did not start")


def resident(pid: int) -> float:
    """Return a process's resident megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def alternate(sides: Sequence[Callable[[], Start]], rounds: int) -> list[Start]:
    """Return each side's medians; one start of each beforehand warms the page cache."""
    for side in sides:
        side()
    runs = [[side() for side in sides] for _ in range(rounds)]
    return [
        Start(
            statistics.median(start.seconds for start in column),
            statistics.median(start.megabytes for start in column),
        )
        for column in zip(*runs, strict=True)
    ]


def figure(
    what: str,
    unit: str,
    value: float,
    peer: float,
    peer_name: str,
    limit: float,
    *,
    ratio: bool = True,
) -> dict[str, Any]:
    """Return one figure; the goal is on the ratio, or on the value itself."""
    return {
        "what": what,
        "value": round(value, 1),
        "unit": unit,
        "peer": f"{peer_name}: {peer:.1f} {unit}",
        "ratio": round(value / peer, 3),
        "goal": f"≤ {limit}" if ratio else f"≤ {limit} {unit}",
        "ok": (value / peer if ratio else value) <= limit,
    }


def litert(rounds: int) -> list[dict[str, Any]]:
    """Measure the function against the bare interpreter."""
    model = FUNCTION / "forecast.tflite"
    ours, bare = alternate((function, lambda: program(BARE, model)), rounds)
    name = "NumPy + LiteRT + model, no more"
    what = "process start to first forecast, gpfn run fn with LiteRT"
    return [
        figure(what, "ms", ours.seconds * 1e3, bare.seconds * 1e3, name, 1.9),
        figure(f"{what}, memory", "MB", ours.megabytes, bare.megabytes, name, 55, ratio=False),
    ]


def tensorflow(what: str, model: Path, peer: str, rounds: int) -> list[dict[str, Any]]:
    """Measure the C library against the package."""
    ours, package = alternate((lambda: program(OURS, model), lambda: program(peer, model)), rounds)
    what, name = f"process start to first forecast, {what} by the C library", "import tensorflow"
    return [
        figure(what, "ms", ours.seconds * 1e3, package.seconds * 1e3, name, 0.25),
        figure(f"{what}, memory", "MB", ours.megabytes, package.megabytes, name, 0.7),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and print or write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    for folder in (ROOT / "src", FUNCTION):
        compileall.compile_dir(folder, quiet=1)
    figures = [
        *litert(2 if args.quick else 25),
        *tensorflow("SavedModel", MODELS / "forecast_savedmodel", SAVED, 1 if args.quick else 7),
        *tensorflow("frozen graph", MODELS / "rnn_ts_model.pb", FROZEN, 1 if args.quick else 7),
    ]
    text = json.dumps(figures, ensure_ascii=False, indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
