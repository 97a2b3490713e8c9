"""Links of a pipeline compared before it runs: with files, functions and servers, and without."""

import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.errors import SetupError
from gpfn.graphpipe.encode import encode_metadata
from gpfn.graphpipe.messages import IOMetadata, MetadataResponse, Type
from gpfn.models.pipeline import Pipeline, Stage
from gpfn.models.pipeline.reading import PipelineFile, parse_pipeline
from gpfn.models.toml_table import Table
from gpfn.pipelines.checking import OK, UNKNOWN, WRONG, CheckedPipeline, check_pipeline
from gpfn.serving import Server

IMAGE = TensorSpec("uint8", (None, 8, 8, 3))


class Told:
    """A model that only tells what it takes and gives."""

    waits = False

    def __init__(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], backend: str = "x"):
        self.name = "told"
        self.backend = backend
        self.inputs, self.outputs = specs(inputs), specs(outputs)
        self.closed = 0

    def __call__(self, *_: object, **__: object) -> dict[str, np.ndarray]:
        raise AssertionError("nothing is computed")

    def close(self) -> None:
        self.closed += 1


def specs(told: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(dtype, shape, name) for name, (dtype, shape) in told.items())


def read(text: str, folder: Path | str = "") -> PipelineFile:
    return parse_pipeline(Table(tomllib.loads(text)), name="made", folder=str(folder))


def line(*names: str, **more: str) -> str:
    return "".join(f"[stages.{n}]\ntarget = 'x'\n{more.get(n, '')}\n" for n in names)


def checked(text: str, **models: Told) -> CheckedPipeline:
    return check_pipeline(read(text), opener=lambda stage: models[stage.name])  # type: ignore[arg-type, return-value]


def links(found: CheckedPipeline) -> dict[str, tuple[str, str]]:
    return {f"{each.source} > {each.taker}": (each.verdict, each.told) for each in found.links}


def verdict_of(given: Any, taken: Any, more: str = "") -> tuple[str, str]:
    """Return what is found of one link, between an output and an input of these kinds."""
    one = Told({"x": ("uint8", (None,))}, {"y": given})
    two = Told({"y": taken}, {"z": ("uint8", (None,))})
    return links(checked(line("a", "b", b=more), a=one, b=two))["a.y > b.y"]


@pytest.mark.parametrize(
    ("given", "taken", "verdict", "told"),
    [
        (("float32", (None, 3)), ("float32", (None, 3)), OK, "float32 (any, 3)"),
        (("float32", (2, None)), ("float32", (None, 3)), OK, "float32 (2, any)"),
        (("float32", None), ("float32", (None, 3)), OK, "float32"),
        (("uint8", (None,)), ("float32", None), OK, "uint8 (any,)"),
        (("bool", ()), ("uint8", ()), OK, "bool ()"),
        (("float64", (3,)), ("float32", (3,)), WRONG, "gives float64, takes float32"),
        (("uint8", (3,)), ("bool", (3,)), WRONG, "gives uint8, takes bool"),
        (("string", (3,)), ("uint8", (3,)), WRONG, "gives string, takes uint8"),
        (("int64", (3,)), ("string", (3,)), WRONG, "gives int64, takes string"),
        (("uint8", (3,)), ("uint8", (None, 3)), WRONG,
         "gives (3,), takes (any, 3): 1 dimensions for 2"),
        (("uint8", (None, 224, 224, 3)), ("uint8", (None, 128, 128, 3)), WRONG,
         "gives (any, 224, 224, 3), takes (any, 128, 128, 3)"),
    ],
)  # fmt: skip
def test_dtype_rank_and_sizes(given: Any, taken: Any, verdict: str, told: str) -> None:
    assert verdict_of(given, taken) == (verdict, told)


def test_rows_are_any_number_where_they_are_sliced() -> None:
    given, taken = ("uint8", (16, 4)), ("uint8", (1, 4))
    assert verdict_of(given, taken)[0] == WRONG
    assert verdict_of(given, taken, "max_batch = 1")[0] == OK


def test_what_is_not_named_alike_is_taken_in_order_and_the_rest_passes_by() -> None:
    one = Told({"x": ("uint8", (None,))}, {"image": ("uint8", (3,)), "problems": ("string", None)})
    two = Told({"input": ("uint8", (3,))}, {"scores": ("uint8", (9,))})
    assert links(checked(line("a", "b"), a=one, b=two)) == {
        "inputs.x > a": (OK, "uint8 (any,)"),
        "a.image > b.input": (OK, "uint8 (3,)"),
        "b.scores > outputs.scores": (OK, "uint8 (9,)"),
        "a.problems > outputs.problems": (OK, "string, passes by"),
    }


def test_a_missing_output() -> None:
    one = Told({"x": ("uint8", None)}, {"y": ("uint8", None)})
    two = Told({"y": ("uint8", None), "z": ("uint8", None)}, {"w": ("uint8", None)})
    found = checked(line("a", "b"), a=one, b=two)
    assert found.having(WRONG) == 1
    assert links(found)["a > b"] == (WRONG, "gets y, but takes y, z: z is missing")


def test_outputs_that_clash_are_named_as_the_executor_does() -> None:
    one = Told({"x": ("uint8", None)}, {"y": ("uint8", None), "rest": ("uint8", None)})
    two = Told({"y": ("uint8", None)}, {"rest": ("uint8", None)})
    found = checked(line("a", "b"), a=one, b=two)
    assert links(found)["a.rest > outputs.rest"] == (
        WRONG,
        "b gives a rest too: say which in the outputs",
    )
    assert Pipeline([Stage("a", one), Stage("b", two)]).outputs == ()
    named = line("a", "b") + "[outputs]\nrest = 'b.rest'\n"
    assert checked(named, a=one, b=two).having(WRONG) == 0


def test_origins_by_name() -> None:
    one = Told({"x": ("uint8", None)}, {"y": ("uint8", None), "z:0": ("float32", None)})
    two = Told({"u": ("uint8", None), "v": ("uint8", None), "w": ("uint8", None)}, {})
    inputs = "inputs = { u = 'a', 'v:0' = 'a.z:0', q = 'a.y' }"
    text = line("a", "b", b=inputs) + "[outputs]\nfirst = 'a.none'\nsecond = 'a.y'\nthird = 'b'\n"
    assert links(checked(text, a=one, b=two)) == {
        "inputs.x > a": (OK, "uint8"),
        "a > b.u": (WRONG, "a gives y, z:0: say which"),
        "a.z:0 > b.v:0": (WRONG, "gives float32, takes uint8"),
        "a.y > b.q": (WRONG, "b takes no input q, but u, v, w"),
        " > b": (WRONG, "nothing is given to w"),
        "a.none > outputs.first": (WRONG, "a tells no output none, but y, z:0"),
        "a.y > outputs.second": (OK, "uint8"),
        "b > outputs.third": (UNKNOWN, ""),
    }


def test_a_graph_may_have_more_tensors_than_it_tells() -> None:
    one = Told({"x": ("uint8", None)}, {"y": ("uint8", None)}, backend="tensorflow")
    two = Told({"u": ("uint8", None)}, {"w": ("uint8", None)})
    found = checked(line("a", "b", b="inputs = { u = 'a.inner' }"), a=one, b=two)
    assert links(found)["a.inner > b.u"] == (UNKNOWN, "a tells no output inner, but y")
    assert found.having(WRONG) == 0


def test_two_stages_that_take_one_input_as_different_things() -> None:
    one = Told({"x": ("uint8", (None, 3))}, {"y": ("uint8", None)})
    two = Told({"x": ("string", (None,))}, {"z": ("uint8", None)})
    text = line("a", "b", b="inputs = 'inputs'") + "[outputs]\ny = 'a.y'\nz = 'b.z'\n"
    found = checked(text, a=one, b=two)
    assert found.having(WRONG) == 1
    assert (
        found.links[2].source,
        found.links[2].told,
    ) == ("inputs.x", "a takes it as uint8 (any, 3), b as string (any,)")
    same = Told({"x": ("float32", (None, None))}, {"z": ("uint8", None)})
    assert checked(text, a=one, b=same).having(WRONG) == 0


def test_what_nobody_tells_is_no_mistake() -> None:
    silent = Told({}, {})
    found = checked(line("a", "b"), a=silent, b=silent)
    assert [each.verdict for each in found.stages] == [UNKNOWN, UNKNOWN]
    assert found.stages[0].told == "tells no inputs and no outputs"
    assert {each.verdict for each in found.links} == {UNKNOWN}
    assert silent.closed == 2


def test_a_stage_that_cannot_be_opened_is_named_and_the_others_are_checked(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_that_is_there\n")
    (tmp_path / "fine.py").write_text(
        "from gpfn import Function, TensorSpec\n"
        "spec = TensorSpec('uint8', (None,))\n"
        "handler = Function(lambda x: x, inputs={'x': spec}, outputs={'y': spec})\n"
    )
    text = (
        "[stages.a]\ntarget = 'fine.py'\n[stages.b]\ntarget = './broken.py'\n"
        "[stages.c]\ntarget = './none.onnx'\n[stages.d]\ntarget = 'http://u:pw@127.0.0.1:9/'\n"
    )
    found = check_pipeline(read(text, tmp_path))
    assert [each.verdict for each in found.stages] == [OK, WRONG, WRONG, WRONG]
    assert [each.name for each in found.stages] == ["a", "b", "c", "d"]
    assert "nothing_that_is_there" in found.stages[1].told
    assert "no such file" in found.stages[2].told
    assert "nothing listens" in found.stages[3].told
    assert "pw" not in f"{found}"
    assert links(found)["inputs.x > a"] == (OK, "uint8 (any,)")


def test_servers_are_asked_at_once() -> None:
    def opener(_: Stage) -> Told:
        time.sleep(0.2)
        return Told({"x": ("uint8", None)}, {"x": ("uint8", None)})

    began = time.monotonic()
    found = check_pipeline(read(line(*[f"s{n}" for n in range(8)])), opener=opener)  # type: ignore[arg-type]
    assert time.monotonic() - began < 1
    assert found.having(WRONG) == 0


def test_a_server_is_asked_for_its_metadata() -> None:
    function = Function(lambda image: image, inputs={"image": IMAGE}, outputs={"y": IMAGE})
    with Server({"model": function.as_model("model")}) as server:
        text = line("a", "b").replace("'x'", f"'{server.url}'")
        found = check_pipeline(read(text))
    assert [each.verdict for each in found.stages] == [OK, OK]
    assert links(found) == {
        "inputs.image > a": (OK, "uint8 (any, 8, 8, 3)"),
        "a.y > b.image": (OK, "uint8 (any, 8, 8, 3)"),
        "b.y > outputs.y": (OK, "uint8 (any, 8, 8, 3)"),
    }


@pytest.fixture
def go_server() -> Iterator[str]:
    """A server whose metadata are as graphpipe-go's: each input is told as the list of sizes."""
    sizes = (IOMetadata("input0", "", (2,), Type.INT64),)
    told = MetadataResponse("go", "1", "graphpipe", "", sizes, (sizes[0]._replace(name="output0"),))
    body = b"".join(encode_metadata(told))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_metadata_that_are_a_hint_are_not_told(go_server: str) -> None:
    text = f"[stages.a]\ntarget = '{go_server}'\n"
    found = check_pipeline(read(text))
    assert [each.verdict for each in found.stages] == [UNKNOWN]
    assert {each.verdict for each in found.links} == {UNKNOWN}


def test_a_pipeline_that_passes_runs_and_one_that_fails_does_not() -> None:
    """The verdict is the executor's own."""
    spec = TensorSpec("float32", (None, 2))
    wide = TensorSpec("float32", (None, 3))

    def model(takes: TensorSpec, gives: TensorSpec):
        made = Function(lambda x: x, inputs={"x": takes}, outputs={"x": gives})
        return made.as_model("made")

    for second, verdict in ((spec, 0), (wide, 1)):
        models = {"a": model(spec, spec), "b": model(second, second)}
        found = check_pipeline(read(line("a", "b")), opener=lambda stage, m=models: m[stage.name])
        assert found.having(WRONG) == verdict
        pipeline = Pipeline([Stage(name, each) for name, each in models.items()])
        try:
            pipeline({"x": np.zeros((1, 2), "float32")})
            failed = False
        except Exception as error:
            failed = "stage b" in str(error)
        assert failed == bool(verdict)


def test_a_file_that_is_wrong_is_told_before() -> None:
    with pytest.raises(SetupError, match=r"stages\.a\.colour: unknown key"):
        read(line("a", a="colour = 'red'"))
