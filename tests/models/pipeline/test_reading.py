"""A pipeline's file: what it may say, and how a mistake is named."""

import threading
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import SetupError
from gpfn.models import open_model
from gpfn.models.pipeline import Origin, read_pipeline

HERE = Path(__file__).parents[3]
GOOD = '[stages.a]\ntarget = "http://127.0.0.1:9000"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "p.pipeline.toml"
    path.write_text(text)
    return path


def test_all_that_a_file_can_say(tmp_path):
    (tmp_path / "func.py").touch()
    read = read_pipeline(
        written(
            tmp_path,
            """
title = "Two steps"

[stages.first]
target = "func.py"
inputs = "inputs"
share = 0.5
least = 0.25
max_batch = 8
retries = 2
config = "c"
listen = "[::1]:3000"
place = "hybrid"
parallel = 4
settings = { A = "x", B = { height = 1 } }

[stages.second]
target = "catalogue:digits"
inputs = { image = "first.y", other = "inputs.z" }

[outputs]
best = "second.probabilities"
side = "first"
""",
        )
    )
    first, second = read.stages
    assert (read.name, read.title) == ("p", "Two steps")
    assert first.target == str(tmp_path / "func.py")
    assert first[2:8] == ("inputs", 0.5, 0.25, 8, 2, "c")
    assert first[8:11] == ("[::1]:3000", "hybrid", 4)
    assert first.settings == {"A": "x", "B": '{"height": 1}'}
    assert second.target == "catalogue:digits"
    assert second.takes == {"image": Origin("first", "y"), "other": Origin("inputs", "z")}
    assert read.outputs == {"best": Origin("second", "probabilities"), "side": Origin("first")}


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("there.tflite", "{}/there.tflite"),
        ("there.tflite?signature=a.b", "{}/there.tflite?signature=a.b"),
        ("there.tflite#sha256=00", "{}/there.tflite#sha256=00"),
        ("absent/model.onnx", "{}/absent/model.onnx"),
        ("code.py:apply", "{}/code.py:apply"),
        ("module:apply", "module:apply"),
        ("a\\nb/c?d.onnx", "{}/a\nb/c?d.onnx"),
        ("http://a/b", "http://a/b"),
        ("grpc://a/b", "grpc://a/b"),
        ("catalogue:x", "catalogue:x"),
    ],
)
def test_paths_are_seen_from_the_files_folder(tmp_path, target, found):
    for name in ("there.tflite", "code.py"):
        (tmp_path / name).touch()
    read = read_pipeline(written(tmp_path, f'[stages.a]\ntarget = "{target}"\n'))
    assert read.stages[0].target == found.format(tmp_path)


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("", "stages", "expected tables"),
        ("[stages.a]\n", "stages.a.target", "expected text"),
        ("[stages.inputs]\ntarget='http://a'\n", "stages.inputs", "expected a name"),
        ('[stages."a b"]\ntarget="http://a"\n', 'stages."a b"', "expected a name"),
        (GOOD + "inputs = 'b'\n", "stages.a.inputs", "no stage is called 'b'"),
        (GOOD + "inputs = {x = 'b.y'}\n", "stages.a.inputs.x", "no stage is called 'b'"),
        (GOOD + "inputs = {x = 'b.'}\n", "stages.a.inputs.x", "expected STAGE.OUTPUT"),
        (GOOD + "inputs = {x = 1}\n", "stages.a.inputs.x", "expected text"),
        (GOOD + "inputs = 'a'\n", "stages.a.inputs", "circle: a -> a"),
        (GOOD + "share = 0\n", "stages.a.share", "expected a number from 0.001 to 1"),
        (GOOD + "share = nan\n", "stages.a.share", "expected a number"),
        (GOOD + "least = -1\n", "stages.a.least", "expected seconds"),
        (GOOD + "max_batch = 0\n", "stages.a.max_batch", "expected a whole number"),
        (GOOD + "retries = true\n", "stages.a.retries", "expected a whole number"),
        (GOOD + "place = 'moon'\n", "stages.a.place", "expected one of client, server, hybrid"),
        (GOOD + "listen = '3000'\n", "stages.a.listen", "expected HOST:PORT"),
        (GOOD + "listen = '-x:80'\n", "stages.a.listen", "expected HOST:PORT"),
        (GOOD + "listen = 'user@host:80'\n", "stages.a.listen", "expected HOST:PORT"),
        (GOOD + 'settings = {A = "a\\u0000b"}\n', "stages.a.settings.A", "without NUL"),
        (GOOD + "settings = {'A B' = 'x'}\n", 'stages.a.settings."A B"', "name of a variable"),
        (GOOD + "settings = {A = 1}\n", "stages.a.settings.A", "expected text"),
        (GOOD + "settings = {A = {d = 1979-05-27}}\n", "stages.a.settings.A", "JSON cannot say"),
        (GOOD + "settings = {A = {d = nan}}\n", "stages.a.settings.A", "JSON cannot say"),
        (GOOD + "colour = 'red'\n", "stages.a.colour", "unknown key"),
        (GOOD + "[outputs]\ny = 'b'\n", "outputs.y", "no stage is called 'b'"),
        ("x = [\n", "", "cannot be read"),
        ("".join(f"[stages.s{n}]\ntarget='http://a'\n" for n in range(10_000)), "stages",
         "10000 stages"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_key(tmp_path, text, field, told):
    path = written(tmp_path, text)
    with pytest.raises(SetupError) as caught:
        read_pipeline(path)
    assert told in caught.value.detail
    assert (caught.value.field or "").endswith(field or str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SetupError, match="cannot be read"):
        read_pipeline(tmp_path / "no.pipeline.toml")


@pytest.mark.parametrize("path", sorted((HERE / "pipelines").glob("*.pipeline.toml")), ids=str)
def test_the_samples_can_be_read(path):
    read = read_pipeline(path)
    assert read.title
    assert all(stage.listen for stage in read.stages)


def test_a_file_is_a_model(tmp_path):
    (tmp_path / "steps.py").write_text(
        "def double(x):\n    return 2 * x\ndef add(x):\n    return x + 1\n"
    )
    path = written(
        tmp_path, '[stages.a]\ntarget="steps.py:double"\n[stages.b]\ntarget="steps.py:add"\n'
    )
    model = open_model(path)
    found = model({"x": np.array([[0, 1], [2, 3]], np.float32)})
    assert found["output"].tolist() == [[1, 3], [5, 7]]
    assert model.backend == "pipeline"
    model.close()


def test_a_stage_that_cannot_be_opened_is_named(tmp_path):
    path = written(tmp_path, '[stages.a]\ntarget="absent.tflite"\n')
    with pytest.raises(SetupError, match="stage a: no such file"):
        open_model(path)


def test_settings_make_two_stages_of_one_file_differ(tmp_path):
    (tmp_path / "func.py").write_text(
        "import os\n"
        "from gpfn import Function, TensorSpec\n"
        "FACTOR = float(os.environ.get('FACTOR', '1'))\n"
        "def scale(x):\n    return {'x': x * FACTOR}\n"
        "scale = Function(scale, inputs={'x': TensorSpec('float32', (None,))})\n"
    )
    text = '[stages.{0}]\ntarget="func.py"\nsettings={{FACTOR="{1}"}}\n'
    path = written(tmp_path, text.format("a", 2) + text.format("b", 5))
    found = open_model(path)({"x": np.ones(2, np.float32)})
    assert found["x"].tolist() == [10, 10]


def test_a_pipeline_that_is_its_own_stage_is_named(tmp_path):
    (tmp_path / "a.pipeline.toml").write_text('[stages.x]\ntarget = "b.pipeline.toml"\n')
    (tmp_path / "b.pipeline.toml").write_text('[stages.y]\ntarget = "a.pipeline.toml"\n')
    told = r"its own stage: a\.pipeline\.toml -> b\.pipeline\.toml -> a\.pipeline\.toml"
    with pytest.raises(SetupError, match=told):
        open_model(tmp_path / "a.pipeline.toml")


def test_a_function_of_a_pipeline_of_functions_opens(tmp_path):
    """Its settings hold a lock that opening what is inside of it must not wait for."""
    table = "{'x': TensorSpec('float32', (None,))}"
    head = "from gpfn import Function, TensorSpec\n"
    (tmp_path / "inner.py").write_text(
        f"{head}f = Function(lambda x: {{'x': 2 * x}}, inputs={table}, outputs={table})\n"
    )
    (tmp_path / "in.pipeline.toml").write_text(
        '[stages.inner]\ntarget = "inner.py"\nsettings = { A = "1" }\n'
    )
    (tmp_path / "outer.py").write_text(f"{head}f = Function(model='in.pipeline.toml')\n")
    text = '[stages.outer]\ntarget = "outer.py"\nsettings = { B = "2" }\n'
    found: list[object] = []

    def open_it() -> None:
        found.append(open_model(written(tmp_path, text))({"x": np.ones(2, np.float32)}))

    thread = threading.Thread(target=open_it, daemon=True)
    thread.start()
    thread.join(10)
    assert [answer["x"].tolist() for answer in found] == [[2, 2]]


def test_a_file_that_is_too_large_or_too_deep_is_refused(tmp_path):
    with pytest.raises(SetupError, match="at most 1048576 bytes"):
        read_pipeline(written(tmp_path, GOOD + "#" * (1 << 20)))
    deep = "[stages.a]\ntarget='x'\n[stages.a.settings]\nX = " + "{a=" * 400 + "1" + "}" * 400
    try:
        read_pipeline(written(tmp_path, deep))
    except SetupError as error:
        assert error.field  # noqa: PT017 - tomllib takes some depths, and refuses others


def test_a_callable_in_a_file_has_no_settings(tmp_path):
    (tmp_path / "code.py").write_text("def f(x):\n    return x\n")
    text = '[stages.a]\ntarget = "code.py:f"\nsettings = { A = "1" }\n'
    with pytest.raises(SetupError, match="stage a: name the file alone") as caught:
        open_model(written(tmp_path, text))
    assert caught.value.field == "settings"
