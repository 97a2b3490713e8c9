"""``gpfn pipeline run``: what it prints, what it starts, and what it refuses."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from gpfn.cli.main import main
from gpfn.cli.pipeline_run import given_inputs
from gpfn.models.pipeline import read_pipeline
from gpfn.pipelines import StageProcesses, place_stages
from gpfn.pipelines.asking import is_listening
from gpfn.tensors.spec import TensorSpec
from tests.pipelines.foreign import Foreign
from tests.pipelines.toy import counted, free_ports, toy_file, write_pipeline

IN, BETWEEN, OUT = "[[0 1] [2 3]]", "[[0 2] [4 6]]", "[[1 3] [5 7]]"


@contextmanager
def up(file: Path, place: str, *names: str) -> Iterator[StageProcesses]:
    """Start some of a file's stages beforehand, as somebody else would."""
    launches = place_stages(read_pipeline(file), place).launches
    with StageProcesses([each for each in launches if each.name in names]) as stages:
        stages.start()
        yield stages


@pytest.mark.parametrize(
    ("place", "lines"),
    [("client", [IN, BETWEEN, OUT]), ("server", [IN, OUT]), ("hybrid", [IN, OUT])],
)
def test_a_line_for_each_array(
    place: str, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, *ports = toy_file(tmp_path)
    assert main(["pipeline", "run", str(file), "--place", place]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == lines
    assert err == ""
    assert not any(is_listening(f"http://127.0.0.1:{port}") for port in ports)


def test_what_runs_is_used_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, first, second = toy_file(tmp_path)
    np.save(tmp_path / "x.npy", np.array([[1.5, -3]], np.float32))
    words = ["pipeline", "run", str(file), "--input", str(tmp_path / "x.npy"), "--json"]
    with up(file, "client", "add") as stages:
        assert main(words) == 0
        assert counted(second) == 1
        assert stages.states[0].state == "ready"
        assert not is_listening(f"http://127.0.0.1:{first}")
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [step["stage"] for step in steps] == ["inputs", "multiply", "add"]
    arrays = [step["arrays"][0] for step in steps]
    assert [array["data"] for array in arrays] == [[1.5, -3], [3, -6], [4, -5]]
    assert arrays[0] == {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -3]}


def test_what_runs_and_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would answer [[0 2] [4 6]] as server, and add twice as client, without a word."""
    file, first, second = toy_file(tmp_path)
    with up(file, "client", "multiply"):
        assert main(["pipeline", "run", str(file), "--place", "server"]) == 1
        told = f"with --next http://127.0.0.1:{second}"
        assert told in capsys.readouterr().err
        assert main(["pipeline", "run", str(file), "--place", "hybrid"]) == 0
        assert capsys.readouterr().out.splitlines() == [IN, OUT]
    with up(file, "server", "multiply", "add"):
        for place in ("client", "hybrid"):
            assert main(["pipeline", "run", str(file), "--place", place]) == 1
            out, err = capsys.readouterr()
            assert out == ""
            assert f"http://127.0.0.1:{first} runs already and goes on to another server" in err
            assert "stages.multiply.place: " in err
        assert main(["pipeline", "run", str(file), "--place", "server"]) == 0
        assert capsys.readouterr().out.splitlines() == [IN, OUT]


def test_another_server_at_a_stages_address_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sum of add and add is [[2 3] [4 5]]: a wrong answer, and nobody would know."""
    file, first, second = toy_file(tmp_path)
    add = read_pipeline(file).stages[1]
    wrong = [add._replace(listen=f"127.0.0.1:{first}")]
    others = place_stages(read_pipeline(file)._replace(stages=tuple(wrong))).launches
    with StageProcesses(others) as stages:
        stages.start()
        for place in ("client", "server", "hybrid"):
            assert main(["pipeline", "run", str(file), "--place", place]) == 1
            out, err = capsys.readouterr()
            assert out == ""
            assert f"stages.multiply.listen: http://127.0.0.1:{first} is a server of add" in err
            assert "not of multiply; end it, or let this stage listen elsewhere" in err
    assert not is_listening(f"http://127.0.0.1:{second}")


def test_a_server_of_several_models_has_to_answer_with_the_stages_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, first, _ = toy_file(tmp_path)
    with closing(Foreign(first, "add", "multiply")):
        assert main(["pipeline", "run", str(file)]) == 1
        assert "it answers with add, not with multiply" in capsys.readouterr().err
    with closing(Foreign(first)):
        assert main(["pipeline", "run", str(file)]) == 1
        assert "a server of models that it does not tell, not of" in capsys.readouterr().err


def test_another_model_of_the_same_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pipelines for two models may call their stages the same, and let them listen there."""
    stage = {"target": "catalogue:digits", "listen": f"127.0.0.1:{free_ports(1)[0]}"}
    with up(write_pipeline(tmp_path, {"model": stage}), "client", "model"):
        assert main(["pipeline", "run", str(tmp_path / "toy.pipeline.toml")]) == 0
        assert capsys.readouterr().err == ""
        other = write_pipeline(tmp_path, {"model": {**stage, "target": "catalogue:forecast"}})
        assert main(["pipeline", "run", str(other)]) == 1
    err = capsys.readouterr().err
    assert "takes uint8" in err
    assert "where forecast takes float32" in err


def test_a_stage_elsewhere_is_checked_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, first, second = toy_file(tmp_path)
    there = {"target": f"http://127.0.0.1:{first}", "place": "server"}
    add = {"target": f"http://127.0.0.1:{second}"}
    with up(file, "client", "multiply", "add"):
        other = write_pipeline(tmp_path, {"multiply": there, "add": add})
        assert main(["pipeline", "run", str(other)]) == 1
        assert "does not go on to the next stage" in capsys.readouterr().err
        other = write_pipeline(tmp_path, {"multiply": {**there, "place": "client"}, "add": add})
        assert main(["pipeline", "run", str(other)]) == 0
    assert capsys.readouterr().out.splitlines() == [IN, BETWEEN, OUT]


def test_arrays_of_many_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "func.py").write_text(
        "import numpy as np\n"
        "from gpfn import Function, TensorSpec\n"
        "INPUTS = {'text': TensorSpec('string', (None,)), 'n': TensorSpec('int64', (3,))}\n"
        "NAMES = {'text': 'string', 'large': 'float64', 'whole': 'int64'}\n"
        "OUTPUTS = {name: TensorSpec(dtype) for name, dtype in NAMES.items()}\n"
        "def f(text, n):\n"
        "    large = np.arange(1200).reshape(1, 1200) / 4\n"
        "    return {'text': text, 'large': large, 'whole': n[:1] + 1234567}\n"
        "main = Function(f, inputs=INPUTS, outputs=OUTPUTS).fn\n"
    )
    file, first, _ = toy_file(tmp_path)
    stage = {"target": "./func.py", "listen": f"127.0.0.1:{first}"}
    file = write_pipeline(tmp_path, {"kinds": stage})
    assert main(["pipeline", "run", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "text = [0 1]",
        "n = [0 1 2]",
        "text = [0 1]",
        "large = [[0 0.25 0.5 … 299.25 299.5 299.75]]",
        "whole = [1234567]",
    ]


def test_inputs_count_up() -> None:
    specs = [
        TensorSpec("bool", (None, 2), "flags"),
        TensorSpec("uint8", (1, None), "pixels"),
        TensorSpec("float32", (), "one"),
        TensorSpec("string", (2,), "words"),
    ]
    inputs = given_inputs((), specs)
    assert {name: array.tolist() for name, array in inputs.items()} == {
        "flags": [[False, True], [False, True]],
        "pixels": [[0, 1]],
        "one": 0.0,
        "words": [b"0", b"1"],
    }
    assert [array.dtype.name for array in inputs.values()] == ["bool", "uint8", "float32", "object"]


def test_what_is_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: str) -> str:
        assert main(["pipeline", "run", *words]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        return err

    assert "absent.pipeline.toml" in refused(str(tmp_path / "absent.pipeline.toml"))
    file, *_ = toy_file(tmp_path, add=tmp_path / "absent.py:f")
    assert re.search(r"stages\.add: it ended with exit code 1: .*absent\.py", refused(str(file)))
    file = write_pipeline(tmp_path, {"one": {"target": "./m.py:f"}})
    assert "stages.one.listen: HOST:PORT is needed" in refused(str(file))
    file, *_ = toy_file(tmp_path)
    assert "x.txt" in refused(str(file), "--input", "x.txt")
    (tmp_path / "m.py").write_text("def f(x):\n    return x\n")
    file, *_ = toy_file(tmp_path, multiply=tmp_path / "m.py:f")
    assert "--input: the first stage tells no inputs" in refused(str(file))
