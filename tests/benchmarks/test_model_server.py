"""The model server's benchmark: what it judges, whom it leaves out, that all ask the same."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gpfn.graphpipe.decode import decode_request
from gpfn.graphpipe.messages import InferRequest
from gpfn.limits import Limits
from gpfn.oip.request import decode_infer
from tests.conftest import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("model_server")


def test_all_are_asked_for_the_same_row(bench: ModuleType) -> None:
    body = bench.oip_json()
    assert len(body) == 507, "as in the figures that the goals come from"
    asked = decode_infer(body, None, Limits())
    other = decode_request(bench.graphpipe(), Limits())
    assert isinstance(other, InferRequest)
    np.testing.assert_array_equal(asked.inputs["x"], other.tensors[0])
    array = np.arange(3, dtype=np.uint8)
    content, more = bench.binary("x", array, "UINT8")
    size = more.partition('= "')[2].partition('"')[0]
    np.testing.assert_array_equal(decode_infer(content, size, Limits()).inputs["x"], array)


def test_peers_without_an_environment_are_named(
    bench: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench, "ENVIRONMENTS", tmp_path)
    (tmp_path / "triton" / "bin").mkdir(parents=True)
    (tmp_path / "triton" / "bin" / "python").touch()
    found = bench.peers(bench.Bench(tmp_path, 1, 1, quick=False), [*bench.NAMES])
    assert [*found] == ["triton"]
    said = capsys.readouterr().err
    assert said.count("left out") == 2
    assert "mlserver" in said
    assert "fastapi" in said
    assert bench.peers(bench.Bench(tmp_path, 1, 1, quick=True), [*bench.NAMES]) == {}
    assert capsys.readouterr().err == "", "a short run asks no peer"


def test_what_is_judged(bench: ModuleType) -> None:
    def loads(rps: float, cpu: float = 20.0) -> list[object]:
        return [bench.Load(rps, 5.0, cpu)] * 3

    measured = {
        "ours": loads(60e3),
        "two": loads(80e3),
        "floor": loads(70e3, 17.0),
        "triton": loads(14e3),
        "mlserver": loads(4e3),
    }
    figures = bench.compare_rows(64, measured)
    judged = {(f["what"].rpartition(", ")[2], f["goal"]): (f["ratio"], f["ok"]) for f in figures}
    assert judged["requests a second", "≥ 50000 1/s"] == (None, True)
    assert judged["processor time", "≤ 1.25"] == (1.176, True)
    assert judged["requests a second", "≥ 4"] == (4.286, True)
    assert judged["requests a second", "≥ 20"] == (15.0, False)
    assert judged["2 processes", "≥ 5"] == (5.714, True)
    assert json.dumps(figures)


def test_every_part_has_a_name_to_choose_it_by(bench: ModuleType) -> None:
    names = [part.__name__ for part in bench.PARTS]
    assert len({*names}) == len(names)
    assert {"rows", "grpc", "start", "generator"} <= {*names}
