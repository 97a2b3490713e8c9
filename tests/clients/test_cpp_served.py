"""The C++ client and our server: a model is uploaded by curl's form, and asked for."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.serving import Served, clean_environ, serve
from tests.clients.building import Built, run

INPUTS = 42


def write_model(folder: Path) -> None:
    """Write a model whose outputs are the mean of its inputs and half of that, and their names."""
    kernel = np.full((INPUTS, 2), [1 / INPUTS, 0.5 / INPUTS], np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "kernel"], ["y"])],
        "luca",
        [value("x", TensorProto.FLOAT, ["batch", INPUTS])],
        [value("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "luca.onnx")
    (folder / "labels.txt").write_text("signal\nbackground\n")
    params = {"name": "luca", "model": "luca.onnx", "labels": "labels.txt"}
    (folder / "params.json").write_text(json.dumps(params))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Our server with a model called luca, which a user has uploaded."""
    folder = tmp_path_factory.mktemp("repository")
    write_model(folder)
    options = ("--repository", str(folder / "store"))
    with serve(folder, *options, environ=clean_environ()) as running:
        form = ("name=luca", "params=@params.json", "model=@luca.onnx", "labels=@labels.txt")
        fields = [word for field in form for word in ("-F", field)]
        command = ["curl", "-sS", "--fail-with-body", "-X", "POST", f"{running.url}/upload"]
        done = subprocess.run([*command, *fields], cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + running.log.read_bytes()
        yield running


def test_the_benchmark_of_201_calls_is_answered(built: Built, served: Served) -> None:
    done = run([built.benchmark, f"{served.url}/proto", "luca"])
    assert done.returncode == 0, done.stderr
    first, second, *timed = done.stdout.splitlines()
    assert first == "class: signal probability: 20.5"
    assert second == "class: background probability: 10.25"
    assert [line.split(":")[0] for line in timed] == ["single benchmark", "thread benchmark"]
    assert done.stderr == ""


def test_both_paths_answer(built: Built, served: Served) -> None:
    for path in ("/proto", "/predict/proto"):
        done = run([built.ask, f"{served.url}{path}", 3, f"size={INPUTS}"])
        assert done.stdout == "signal|0.500000\nbackground|0.250000\n" * 3, done.stderr


def test_a_wrong_number_of_values_is_the_callers_fault(built: Built, served: Served) -> None:
    done = run([built.ask, f"{served.url}/proto", 1, "size=3"])
    assert done.returncode == 1
    status, _, detail = done.stdout.partition("|")
    assert status == "400"
    assert "42" in detail


def test_an_unknown_model_is_told(built: Built, served: Served) -> None:
    done = run([built.old_program, f"{served.url}/proto", "nobody"])
    assert done.returncode == 0
    assert done.stdout == "0 of an empty row\n"
    assert done.stderr.count(f"POST {served.url}/proto: 404 ") >= 2
