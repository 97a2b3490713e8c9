"""The model server over gRPC, beside a bare grpcio.aio server that sends the message back.

One row of a small network is asked for over eight connections, one question on each at a time,
by a client in a process of its own. The floor answers the same bytes with themselves: what it
costs is grpcio's, and no server on grpcio is faster. Where ``make bench-peers`` has made
Triton's environment, Triton with ONNX Runtime is asked the same by the same client; the network
is 42 numbers to 1 then, otherwise the digits. Servers take turns, medians are shown.

    python benchmarks/grpc_server.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from run import table
from wrk import GPFN, ROOT, Load, Server, figure, served

from gpfn.oip.grpc_messages import encode_grpc_infer

__all__ = ["main"]

PEERS = Path(__file__).resolve().parent / "peers"
TRITON = ROOT / os.environ.get("PEERS", ".venvs") / "triton" / "bin" / "python"
CONNECTIONS = 8

ECHO = """
import asyncio, sys
import grpc, uvloop
from grpc import aio

async def back(data, _):
    return data

class Handlers(grpc.GenericRpcHandler):
    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(back)

async def main():
    server = aio.server()
    server.add_generic_rpc_handlers([Handlers()])
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()

uvloop.run(main())
"""

CLIENT = """
import asyncio, struct, sys, time
import uvloop
from grpc import aio

port, seconds, connections = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
request, times = sys.stdin.buffer.read(), []

async def ask(number):
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert await call(request, wait_for_ready=True)
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            await call(request)
            times.append(time.perf_counter() - began)

async def main():
    await asyncio.gather(*[ask(number) for number in range(connections)])

uvloop.run(main())
times.sort()
sys.stdout.buffer.write(struct.pack("<qd", len(times), times[len(times) * 99 // 100]))
"""


def load(server: Server, port: int, request: bytes, seconds: float) -> Load:
    """Have the client ask a server."""
    before = server.cpu_seconds()
    command = [sys.executable, "-c", CLIENT, str(port), str(seconds), str(CONNECTIONS)]
    done = subprocess.run(command, input=request, capture_output=True, check=True)
    count, p99 = struct.unpack("<qd", done.stdout)
    spent = server.cpu_seconds() - before
    return Load(count / seconds, p99 * 1e3, spent / count * 1e6)


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure all servers in turn."""
    seconds, rounds = (0.5, 1) if quick else (4.0, 5)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        name, file, array = _network(Path(folder))
        request = encode_grpc_infer(name, "", array)
        serve = [GPFN, "serve", "--model", f"{name}={file}", "--listen", "127.0.0.1:{port}",
                 "--grpc", "127.0.0.1:{port+1}"]  # fmt: skip
        found = {"gpfn": (stack.enter_context(served(serve)), 1)}
        echo = [sys.executable, "-c", ECHO, "{port}"]
        found["echo"] = (stack.enter_context(served(echo, "")), 0)
        if name == "dnn":
            onnx = str(file.with_suffix(".onnx"))
            run = [str(TRITON), str(PEERS / "run_triton.py"), onnx, "--port", "{port}"]
            found["Triton"] = (stack.enter_context(served(run, "/v2/health/ready")), 1)
        loads: dict[str, list[Load]] = {which: [] for which in found}
        for _ in range(rounds):
            for which, (server, more) in found.items():
                loads[which].append(load(server, server.port + more, request, seconds))
    return _figures(loads)


def _network(folder: Path) -> tuple[str, Path, dict[str, Any]]:
    if not TRITON.exists():
        return "digits", ROOT / "models/digits.tflite", {"image": np.zeros((1, 8, 8, 1), np.uint8)}
    subprocess.run([sys.executable, PEERS / "dnn.py", folder], check=True, capture_output=True)
    row = np.sin(np.arange(42, dtype=np.float32)).reshape(1, 42)
    return "dnn", folder / "dnn.tflite", {"x": row}


def _figures(loads: dict[str, list[Load]]) -> list[dict[str, Any]]:
    def median(which: str, value: Callable[[Load], float]) -> float:
        return statistics.median(map(value, loads[which]))

    cpu = [median(which, lambda one: one.cpu_us) for which in ("gpfn", "echo")]
    rates = {which: median(which, lambda one: one.rps) for which in loads}
    what = f"gRPC, {CONNECTIONS} connections"
    found = [
        figure(f"{what}, processor time", cpu[0], "µs", peer=f"bare grpcio echo: {cpu[1]:.0f} µs",
               ratio=cpu[0] / cpu[1], goal="≤ 1.7", ok=cpu[0] / cpu[1] <= 1.7),
        figure(f"{what}, p99", median("gpfn", lambda one: one.p99_ms), "ms",
               peer=f"bare grpcio echo: {median('echo', lambda one: one.p99_ms):.1f} ms"),
    ]  # fmt: skip
    goals = {"echo": 0.6, "Triton": 0.5}
    for which in [name for name in loads if name != "gpfn"]:
        ratio = rates["gpfn"] / rates[which]
        peer = f"{'bare grpcio echo' if which == 'echo' else which}: {rates[which]:.0f}/s"
        goal = goals[which]
        found.append(figure(what, rates["gpfn"], "/s", peer=peer, ratio=ratio,
                            goal=f"≥ {goal}", ok=ratio >= goal))  # fmt: skip
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything, print a table, and write the figures when asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that judges nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    args = parser.parse_args(argv)
    figures = measure(quick=args.quick)
    print(table(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, ensure_ascii=False, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
