"""``gpfn pipeline bench``: the placements side by side, and nothing that runs is touched."""

import json
import socket
from pathlib import Path

import pytest

from gpfn.cli.main import main
from tests.conftest import ROOT
from tests.pipelines.toy import free_ports, toy_file, write_pipeline

BOTH = (
    "from gpfn import Function, TensorSpec\n"
    "TABLE = TensorSpec('float32', (None, None))\n"
    "inputs = {'a': TABLE, 'b': TABLE}\n"
    "main = Function(lambda a, b: {'c': a + b}, inputs=inputs, outputs={'c': TABLE}).fn\n"
)


def test_the_placements_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, *ports = toy_file(tmp_path)
    with socket.socket() as one, socket.socket() as other:
        for taken, port in zip((one, other), ports, strict=True):
            taken.bind(("127.0.0.1", port))
            taken.listen()
            taken.setblocking(False)
        assert main(["pipeline", "bench", str(file), "--seconds", "0.2"]) == 0
        for taken in (one, other):
            with pytest.raises(BlockingIOError):  # nobody has come
                taken.accept()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["placement", "p50", "ms", "p99", "ms", "calls/s", "ratio"]
    assert [line[:-4] for line in lines[1:]] == [
        ["2", "direct", "calls"],
        ["client"],
        ["server"],
        ["hybrid"],
    ]
    for *_, p50, p99, rate, ratio in lines[1:]:
        assert 0 < float(p50) <= float(p99)
        assert float(rate) > 0
        assert float(ratio) > 0
    assert lines[1][-1] == "1.00"


def test_what_cannot_be_placed_so_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "func.py").write_text(BOTH)
    multiply = ROOT / "functions" / "multiply" / "func.py"
    ports = free_ports(3)
    listen = [f"127.0.0.1:{port}" for port in ports]
    file = write_pipeline(
        tmp_path,
        {
            "one": {"target": multiply, "listen": listen[0], "inputs": "inputs"},
            "two": {"target": multiply, "listen": listen[1], "inputs": "inputs"},
            "sum": {
                "target": "./func.py",
                "listen": listen[2],
                "inputs.a": "one",
                "inputs.b": "two",
            },
        },
    )
    (tmp_path / "x.json").write_text("[[1, 2]]")
    words = ["--input", str(tmp_path / "x.json"), "--seconds", "0.1", "--json"]
    assert main(["pipeline", "bench", str(file), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [way["way"] for way in found["ways"]] == ["direct", "client"]
    assert set(found["refused"]) == {"server", "hybrid"}
    assert "stages.sum.inputs: one, placed as server" in found["refused"]["server"]
    assert found["ways"][0]["ratio"] == 1.0


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, *_ = toy_file(tmp_path)
    assert main(["pipeline", "bench", str(file), "--seconds", "0"]) == 1
    assert "--seconds: expected a time above 0" in capsys.readouterr().err
    assert main(["pipeline", "bench", str(file), "--place", "client"]) == 2
