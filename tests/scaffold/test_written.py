"""A folder that was made works at once: on every platform, in pytest, for ruff and the doctor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpfn.cli.main import main
from gpfn.hosts.host import Invocation, StartedFunction, make_host
from gpfn.hosts.target import find_target
from gpfn.scaffold.source import OWN_FILES
from tests.scaffold.making import FLOATS, TensorProto, graph, helper

PLATFORMS = ("fn", "fdk", "openwhisk", "http", "call")
"""``fdk`` is Fn's own, as it is installed by requirements.txt."""

MADE = {
    "arrays": (["--from", "affine.onnx"], [[0.0, 0.5, 1.0]]),
    "outside": (["--from", "apart/large.onnx"], [[0.0, 0.5, 1.0]]),
    "named": (["--from", "two.onnx"], {"sum": [0], "t": ["good"]}),
    "texts": (["--from", "words.onnx"], {"same": "good"}),
    "letters": (["--from", "letters.onnx"], {"copy": "good", "title": "good"}),
    "lines": (["--from", "lines.onnx"], [["good", "news", "from"]]),
    "event": (["--from", "affine.onnx", "--kind", "event"], {"y": [[0.0, 0.5, 1.0]]}),
    "events": (["--from", "two.onnx", "--kind", "event"], {"sum": [0], "t": ["good"]}),
    "python": (["--from", "model.py:predict"], None),
    "litert": (["--from", "forecast.tflite"], None),
    "graph": (["--from", "saved/"], None),
}
"""What is asked for, and what the sample is answered; None for many numbers."""


def made(name: str) -> Path:
    assert main(["init", name, *MADE[name][0]]) == 0
    return Path(name)


@pytest.mark.parametrize("name", MADE)
def test_it_answers_its_sample_everywhere(models: Path, name: str) -> None:
    folder = made(name)
    sample = (folder / "sample.json").read_bytes()
    answers = []
    for platform in PLATFORMS:
        with StartedFunction(make_host(platform, find_target(str(folder)))) as running:
            answer = running.call(Invocation(sample, "text/plain"))
        assert not answer.failed, (platform, answer.body)
        event = json.loads(answer.body)
        assert event["type"] == f"com.example.{name}.response"
        answers.append(event["data"])
    assert answers == [answers[0]] * len(PLATFORMS)
    assert MADE[name][1] in (None, answers[0])


@pytest.mark.parametrize("name", MADE)
def test_its_tests_pass_ruff_and_the_doctor_find_nothing(
    models: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = made(name)
    code = [str(folder / "func.py"), str(folder / "test_func.py")]
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "check", "--isolated", *code], check=True)
    subprocess.run(
        [*ruff, "format", "--isolated", "--check", "--line-length=100", *code], check=True
    )
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run([*pytest_, name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    capfd.readouterr()
    assert main(["doctor", name]) == 0
    assert capfd.readouterr().out == "no findings\n"


def test_a_function_of_texts_takes_a_text_as_people_send_it(models: Path) -> None:
    folder = made("texts")
    assert json.loads((folder / "sample.json").read_text())["data"] == "good"
    told = {b"so it goes": "text/plain", b'["so it goes"]': "application/json"}
    with StartedFunction(make_host("fn", find_target(str(folder)))) as running:
        answers = [running.call(Invocation(*each)) for each in told.items()]
    assert answers[0].body == b"so it goes"
    assert json.loads(answers[1].body) == [{"same": "so it goes"}]


@pytest.mark.parametrize("kind", ["arrays", "event"])
def test_what_is_wrong_with_a_call_is_the_callers_fault(models: Path, kind: str) -> None:
    main(["init", "f", "--from", "two.onnx", "--kind", kind])
    event = json.loads(Path("f/sample.json").read_bytes())
    for data in ([], "text", None, 7, {}, {"a": [1], "b": [2]}, {"a": "x", "b": 1, "s": 2}):
        with StartedFunction(make_host("call", find_target("f"))) as running:
            sent = json.dumps({**event, "data": data}).encode()
            answer = running.call(Invocation(sent, "application/cloudevents+json"))
        assert answer.failed
        assert json.loads(answer.body)["error"]["status"] == 400, data


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        (TensorProto.UINT8, [300]),
        (TensorProto.UINT8, [3.7]),
        (TensorProto.UINT8, [True]),
        (TensorProto.INT64, [1, 1e30]),
        (TensorProto.FLOAT16, [1e39]),
        (TensorProto.FLOAT16, [None]),
        (TensorProto.FLOAT, ["7"]),
    ],
)
def test_no_value_of_an_event_is_bent(models: Path, dtype: int, data: list[object]) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    graph(models / "same.onnx", [node], {"x": (dtype, ["n"])}, {"y": (dtype, ["n"])})
    main(["init", "f", "--from", "same.onnx", "--kind", "event"])
    event = json.loads(Path("f/sample.json").read_bytes())
    sent = json.dumps({**event, "data": data}).encode()
    with StartedFunction(make_host("call", find_target("f"))) as running:
        answer = running.call(Invocation(sent, "application/cloudevents+json"))
    error = json.loads(answer.body)["error"]
    assert (error["status"], error["field"]) == (400, f"data[{len(data) - 1}]")


@pytest.mark.parametrize("kind", ["arrays", "event"])
def test_a_tensor_may_be_called_anything(models: Path, kind: str) -> None:
    odd = 'x"""\n`|\\"; import os  # ä'
    node = helper.make_node("Identity", [odd], ["y'"])
    graph(models / "odd.onnx", [node], {odd: (FLOATS, ["n"])}, {"y'": (FLOATS, ["n"])})
    assert main(["init", "f", "--from", "odd.onnx", "--kind", kind]) == 0
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "f"]
    subprocess.run(ruff, check=True)
    sample = Path("f/sample.json").read_bytes()
    with StartedFunction(make_host("fn", find_target("f"))) as running:
        answer = running.call(Invocation(sample, "text/plain"))
    assert json.loads(answer.body)["data"] == ([0.0] if kind == "arrays" else {"y'": [0.0]})


def test_every_file_has_its_place(models: Path) -> None:
    folder = made("arrays")
    assert {path.name for path in folder.iterdir()} == {*OWN_FILES, "affine.onnx"}
    assert (folder / "requirements.txt").read_text() == "fdk>=0.1.110\ngpfn[onnx]>=0.1\n"
    assert (made("litert") / "requirements.txt").read_text() == "fdk>=0.1.110\ngpfn>=0.1\n"
    assert (made("graph") / "requirements.txt").read_text().endswith("gpfn[tensorflow]>=0.1\n")
    python = made("python")
    assert (python / "requirements.txt").read_text() == "fdk>=0.1.110\ngpfn>=0.1\npyyaml\n"
    assert not (python / "Dockerfile").exists()  # Fn's own image installs requirements.txt


def test_the_dockerfile_is_what_gpfn_build_prints(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("arrays", "litert", "graph"):
        dockerfile = (made(name) / "Dockerfile").read_text()
        words = dockerfile.splitlines()[0].removeprefix("# Made by: gpfn ").split()
        capsys.readouterr()
        assert main([word if word != "." else name for word in words]) == 0
        printed = capsys.readouterr().out
        assert printed.splitlines()[1:] == dockerfile.splitlines()[1:]


def test_platforms_choose_files_and_commands(models: Path) -> None:
    main(["init", "f", "--from", "affine.onnx", "--platform", "http"])
    readme = Path("f/README.md").read_text()
    assert "## Over HTTP" in readme
    assert "fn deploy" not in readme
    assert "wsk" not in readme
    assert not Path("f/Dockerfile").exists()
    main(["init", "g", "--from", "affine.onnx", "--platform", "openwhisk, fn"])
    assert Path("g/Dockerfile").exists()
    assert "## Over HTTP" not in Path("g/README.md").read_text()


def test_an_action_has_neither_tests_nor_papers(models: Path) -> None:
    made("arrays")
    assert main(["package", "openwhisk", "arrays", "--output", "a.zip"]) == 0
    import zipfile

    names = zipfile.ZipFile("a.zip").namelist()
    assert {"func.py", "affine.onnx"} <= set(names)
    assert not {"test_func.py", "sample.json", "README.md"} & set(names)
    assert not [name for name in names if name.startswith("gpfn/scaffold/")]
