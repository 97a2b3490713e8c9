"""How long ``gpfn doctor`` takes for a function with an ONNX model.

A folder with a func.py for Fn, OpenWhisk and HTTP, an ONNX model and a sample is examined as a
user types it: the model is opened, the function is started on three platforms and asked once on
each. What the backend costs by itself stands beside it: an interpreter that imports ONNX Runtime
and opens the same model.

    python benchmarks/doctor.py [--quick] [--json FILE]
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
GOAL = 3.0
CODE = """\
from gpfn import Function

f = Function(model="forecast.onnx", name="f")
handler, main, app = f.fn, f.openwhisk, f.asgi
"""
FLOOR = "import sys, onnxruntime as o; o.InferenceSession(sys.argv[1])"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="once, which judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    rounds = 1 if args.quick else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "f"
        model = make(folder)
        ours = [seconds([sys.executable, "-m", "gpfn", "doctor", str(folder)])
                for _ in range(rounds)]  # fmt: skip
        floor = [seconds([sys.executable, "-c", FLOOR, str(model)]) for _ in range(rounds)]
    found, peer = statistics.median(ours), statistics.median(floor)
    figures: list[dict[str, Any]] = [
        {
            "what": "gpfn doctor, a function with an ONNX model",
            "value": round(found, 2),
            "unit": "s",
            "peer": f"opening the model in ONNX Runtime, once: {peer:.2f} s",
            "ratio": round(found / peer, 2),
            "goal": f"≤ {GOAL:g} s",
            "ok": found <= GOAL,
        }
    ]
    print(f"doctor {found:.2f} s (goal {GOAL:g} s), opening the model alone {peer:.2f} s")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def make(folder: Path) -> Path:
    """Write the function, and return its model's file."""
    folder.mkdir()
    (folder / "func.py").write_text(CODE)
    (folder / "requirements.txt").write_text("gpfn[onnx]\n")
    (folder / "sample.json").write_text(json.dumps([[[0.5]] * 20]))
    return Path(shutil.copy(ROOT / "models" / "forecast.onnx", folder))


def seconds(command: list[str]) -> float:
    """Return how long a command runs; it has to succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
