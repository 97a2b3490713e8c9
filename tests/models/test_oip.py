"""A model over the Open Inference Protocol, against a server of the standard library."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gpfn.cli.main import main
from gpfn.deadline import Deadline
from gpfn.errors import (
    BrokenReply,
    CannotConnect,
    InvalidTensor,
    ModelFailed,
    RefusedByModel,
    SetupError,
)
from gpfn.function import Function
from gpfn.message import Message
from gpfn.models import open_model, warm_up
from gpfn.models.backends import is_remote
from gpfn.serving import Server, ServerSettings
from gpfn.tensors.spec import TensorSpec
from tests.models.test_backends import INPUTS as ORDER
from tests.oip.model_server import ModelServer, Reply, SimpleModel, serving

ONE = np.arange(16, dtype=np.int32).reshape(1, 16)
INPUTS = {"INPUT0": ONE, "INPUT1": np.ones((1, 16), np.int32)}


def model_of(served: ModelServer, name: str = "simple", **options: Any) -> Any:
    return open_model(f"{served.url}/v2/models/{name}", **options)


def doubling(shape: tuple[int | None, ...] = (None, 2)) -> SimpleModel:
    """A model of one input."""
    takes, gives = (TensorSpec("float32", shape, name) for name in ("x", "y"))
    return SimpleModel((takes,), (gives,), lambda inputs: {"y": inputs["x"] * 2})


def test_a_model_is_as_if_it_were_here() -> None:
    with serving() as served:
        model = model_of(served)
        assert (model.backend, model.name) == ("oip", f"{served.url}/v2/models/simple")
        assert is_remote(model.backend)
        assert not served.asked  # not before it is needed
        assert model.inputs == served.model.inputs
        assert model.outputs == served.model.outputs
        given = model(INPUTS)
        assert list(given) == ["OUTPUT0", "OUTPUT1"]
        assert_array_equal(given["OUTPUT0"], ONE + 1)
        assert not given["OUTPUT0"].flags.writeable
        assert list(model(INPUTS, outputs=["OUTPUT1"])) == ["OUTPUT1"]
        assert [call.binary for call in served.calls] == [True, False]
        assert served.calls[1].outputs[0].binary
        model.close()
        with pytest.raises(ModelFailed, match="is closed"):
            model(INPUTS)


def test_versions_and_encoded_names() -> None:
    with serving() as served:
        model = model_of(served, "a%2Fb%20c/versions/3?key=1")
        assert model.name == f"{served.url}/v2/models/a%2Fb%20c/versions/3"
        model(INPUTS)
        assert [request.path for request in served.asked] == [
            "/v2/models/a%2Fb%20c/versions/3?key=1",
            "/v2/models/a%2Fb%20c/versions/3/infer?key=1",
        ]
        with pytest.raises(SetupError, match="expected …/v2/models/NAME"):
            model_of(served, "m/infer")


def test_numbers_get_the_width_that_the_server_tells() -> None:
    with serving() as served:
        model = model_of(served)
        wide = {name: array.astype(np.int64) for name, array in INPUTS.items()}
        assert_array_equal(model(wide)["OUTPUT0"], ONE + 1)
        assert served.calls[0].datatypes == {"INPUT0": "INT32", "INPUT1": "INT32"}


def test_what_is_wrong_is_the_callers_where_the_server_says_so() -> None:
    with serving() as served:
        model = model_of(served)
        with pytest.raises(InvalidTensor) as caught:
            model({**INPUTS, "INPUT1": INPUTS["INPUT1"] + 0.5})
        assert caught.value.field == "INPUT1[0][0]"
        with pytest.raises(InvalidTensor, match="unknown input; the model server takes") as caught:
            model({**INPUTS, "other": ONE})
        assert caught.value.field == "other"
        with pytest.raises(RefusedByModel, match="missing required input"):
            model({"INPUT0": ONE})
        with pytest.raises(RefusedByModel, match="unexpected inference output"):
            model(INPUTS, outputs=["nothing"])


def test_names_that_the_server_does_not_know_go_by_their_order() -> None:
    with serving() as served:
        given = model_of(served)({"a": ONE, "b": INPUTS["INPUT1"]})
        assert_array_equal(given["OUTPUT1"], ONE - 1)
    with serving(doubling()) as served:
        model = model_of(served)
        for name in ("x", "x:0", "series"):
            given = model({name: np.ones((1, 2), np.float32)})
            assert given["y"].tolist() == [[2.0, 2.0]]


def test_configured_names() -> None:
    with serving() as served:
        model = model_of(served, inputs=["INPUT1", "INPUT0"], outputs=["OUTPUT1"])
        assert [spec.name for spec in model.inputs] == ["INPUT1", "INPUT0"]
        assert [spec.name for spec in model.outputs] == ["OUTPUT1"]
        assert list(model(INPUTS)) == ["OUTPUT1"]
        by_order = model({"a": INPUTS["INPUT1"], "b": ONE})
        assert_array_equal(by_order["OUTPUT1"], ONE - 1)


def test_names_with_an_end_that_is_left_out() -> None:
    takes, gives = TensorSpec("float32", (None,), "x:0"), TensorSpec("float32", (None,), "y:0")
    model = SimpleModel((takes,), (gives,), lambda inputs: {"y:0": inputs["x:0"]})
    with serving(model) as served:
        asked = model_of(served)
        assert [spec.name for spec in asked.inputs] == ["x"]
        assert list(asked({"x": np.ones(1, np.float32)})) == ["y"]
        assert list(asked({"x:0": np.ones(1, np.float32)}, outputs=["y:0"])) == ["y"]


def test_a_server_that_says_nothing_of_itself() -> None:
    with serving(doubling()) as served:
        served.answers["/v2/models/simple"] = Reply(404, b"{}")
        model = model_of(served)
        assert (model.inputs, model.outputs) == ((), ())
        assert model({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2.0, 2.0]]


def test_outputs_that_differ_from_the_metadata_or_do_not_come() -> None:
    with serving(doubling()._replace(compute=lambda _: {"y": np.zeros((1, 3))})) as served:
        with pytest.raises(BrokenReply, match="differs from its metadata: y: exp"):
            model_of(served)({"x": np.ones((1, 2), np.float32)})
        served.answers["/infer"] = Reply(200, b'{"outputs":[]}')
        with pytest.raises(BrokenReply, match="y was asked for and did not come"):
            model_of(served)({"x": np.ones((1, 2), np.float32)}, outputs=["y"])


def test_bf16_is_sent_where_the_server_takes_it() -> None:
    with serving(doubling()) as served:
        told = {"name": "x", "datatype": "BF16", "shape": [-1, 2]}
        served.answers["/v2/models/simple"] = Reply(200, json.dumps({"inputs": [told]}).encode())
        model = model_of(served)
        assert model({"x": np.array([[0.5, 2]])})["y"].tolist() == [[1.0, 4.0]]
        assert served.calls[0].datatypes == {"x": "BF16"}
        with pytest.raises(InvalidTensor, match="not exact in BF16") as caught:
            model({"x": np.array([[0.5, 0.1]], np.float32)})
        assert caught.value.field == "x[0][1]"


def test_the_deadline_goes_along() -> None:
    with serving() as served:
        model_of(served)(INPUTS, deadline=Deadline.after(3))
        assert 0 < float(served.calls[0].parameters["timeout"]) <= 3_000_000


def test_a_model_that_is_not_there_yet() -> None:
    with serving() as served:
        url = served.url
    model = open_model(f"{url}/v2/models/m")
    assert warm_up(model).seconds == 0
    with pytest.raises(CannotConnect, match=url):
        model(INPUTS)


def test_another_model_behind_the_same_url() -> None:
    with serving() as served:
        model = model_of(served)
        model(INPUTS)
        served.model = doubling()
        assert model({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2.0, 2.0]]


def test_a_function_asks_the_server_that_gp_server_url_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(doubling((None, None, 1))) as served:
        monkeypatch.setenv("GP_SERVER_URL", f"{served.url}/v2/models/forecast/versions/1")
        forecast = Function(
            model=("env:GP_SERVER_URL", "forecast.tflite"),
            inputs={"series": TensorSpec("float32", (None, None, 1))},
            output="y",
        )
        reply = forecast.answer(Message(b"[[[1.5],[2.5]]]", "application/json"))
        assert (reply.status, reply.message.body) == (200, b"[[[3.0],[5.0]]]")
        assert served.asked[-1].path == "/v2/models/forecast/versions/1/infer"


def test_a_function_that_declares_nothing_reads_data_by_the_metadata() -> None:
    with serving(doubling()) as served:
        function = Function(model=f"{served.url}/v2/models/m")
        reply = function.answer(Message(b"[[1, 2]]", "application/json"))
        assert (reply.status, reply.message.body) == (200, b"[[2.0,4.0]]")
        reply = function.answer(Message(b'[["a"]]', "application/json"))
        assert reply.status == 400


def test_the_command_line_asks_it_and_fetches_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 2), np.float32))
    with serving(doubling()) as served:
        url = f"{served.url}/v2/models/net.onnx"  # which ends as a file's address would
        assert main(["models", "show", url]) == 0
        shown = capsys.readouterr().out
        assert "backend  oip" in shown
        assert "  x  float32  (n, 2)" in shown
        assert main(["predict", url, "--input", str(tmp_path / "x.npy")]) == 0
        assert json.loads(capsys.readouterr().out) == [[2.0, 2.0]]


@pytest.mark.parametrize("name", ["order.tflite", "order", "order.onnx"])
def test_a_model_of_our_own_server_is_as_if_it_were_here(made: Path, name: str) -> None:
    here = open_model(made / name)
    with Server({"a b": open_model(made / name)}, ServerSettings(port=0)) as server:
        for path in ("a%20b", "a%20b/versions/1"):
            there = open_model(f"{server.url}/v2/models/{path}")
            assert set(there.inputs) == set(here.inputs)
            assert set(there.outputs) == set(here.outputs)
            for outputs in ((), ("total",), ("doubled:0", "total")):
                expected, given = here(ORDER, outputs=outputs), there(ORDER, outputs=outputs)
                assert set(given) == set(expected)
                for key, array in expected.items():
                    assert given[key].dtype == array.dtype
                    assert_array_equal(given[key], array)
            with pytest.raises(InvalidTensor, match="expected shape") as caught:
                there({**ORDER, "weights": np.zeros((2, 4), np.float32)})
            assert caught.value.field == "weights"
            there.close()


def test_our_own_server_tells_what_it_does_not_have(root: Path) -> None:
    windows = {"series": np.zeros((1, 20, 1), np.float32)}
    with Server({"m": open_model(root / "models" / "forecast.tflite")}) as server:
        for path, code in (("nope", 404), ("m/versions/9", 404)):
            with pytest.raises(RefusedByModel) as caught:
                open_model(f"{server.url}/v2/models/{path}")(windows)
            assert caught.value.code == code
        model = open_model(f"{server.url}/v2/models/m")
        many = model({"series": np.zeros((1000, 20, 1), np.float32)}, deadline=Deadline.after(20))
        assert many["forecast"].shape == (1000, 20, 1)
