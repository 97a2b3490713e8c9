"""The forecast function called directly: every shape it reads, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from gpfn import Event, Function
from gpfn.errors import InvalidTensor
from gpfn.function import load_function
from gpfn.message import Message
from tests.conftest import ROOT

FOLDER = ROOT / "functions" / "forecast"
WINDOWS = np.random.default_rng(1).uniform(15, 35, (3, 20, 1)).astype(np.float32)


@pytest.fixture
def forecast(monkeypatch: pytest.MonkeyPatch) -> Function:
    monkeypatch.delenv("GP_SERVER_URL", raising=False)
    return load_function(str(FOLDER / "func.py"))


def expected(windows: np.ndarray) -> np.ndarray:
    """Return what the LiteRT interpreter gives, called directly."""
    runner = Interpreter(str(FOLDER / "forecast.tflite"), num_threads=1).get_signature_runner()
    return np.array(runner(series=windows)["forecast"])


@pytest.mark.parametrize("shape", [(3, 20, 1), (3, 20), (1, 60, 1), (60,), (3, 1, 20), (1, 1, 60)])
def test_any_multiple_of_20_numbers_is_read_as_windows(
    forecast: Function, shape: tuple[int, ...]
) -> None:
    answer: Any = forecast(WINDOWS.reshape(shape))
    assert answer.shape == (3, 20, 1)
    assert answer.dtype == np.float32
    assert np.abs(answer - expected(WINDOWS)).max() < 1e-4


def test_twenty_numbers_are_one_window(forecast: Function) -> None:
    answer: Any = forecast(WINDOWS[0].ravel().tolist())
    assert np.abs(answer - expected(WINDOWS[:1])).max() < 1e-4


def test_128_windows_are_read_at_once(forecast: Function) -> None:
    many = np.resize(WINDOWS, (128, 20, 1))
    answer: Any = forecast(many)
    assert np.abs(answer - expected(many)).max() < 1e-4


@pytest.mark.parametrize("count", [0, 1, 19, 21, 39])
def test_other_counts_are_refused(forecast: Function, count: int) -> None:
    with pytest.raises(InvalidTensor, match=f"multiple of 20, got {count}"):
        forecast(np.zeros(count, np.float32))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_have_to_be_finite(forecast: Function, value: float) -> None:
    with pytest.raises(InvalidTensor, match="finite"):
        forecast(np.full(20, value, np.float32))


def test_an_event_gives_an_event(forecast: Function) -> None:
    asked = Event(
        id="1",
        source="/shop",
        type="sales.monthly",
        datacontenttype="application/json",
        data=json.dumps(WINDOWS.tolist()).encode(),
    )
    answer: Any = forecast(asked)
    assert isinstance(answer, Event)
    assert answer.type == "sales.monthly.response"
    assert np.abs(np.array(answer.json()) - expected(WINDOWS)).max() < 1e-4


@pytest.mark.parametrize(
    ("wrap", "media_type", "field"),
    [
        (lambda data: data, "application/json", "body"),
        (
            lambda data: {
                "specversion": "1.0",
                "id": "1",
                "source": "/",
                "type": "t",
                "data": data,
            },
            "application/cloudevents+json",
            "data",
        ),
    ],
)
def test_19_numbers_get_an_error_that_says_where(
    forecast: Function, wrap: Callable[[object], object], media_type: str, field: str
) -> None:
    body = json.dumps(wrap([1.0] * 19)).encode()
    reply = forecast.answer(Message(body, media_type))
    document = json.loads(reply.message.body)["error"]
    assert reply.status == 400
    assert document["field"] == field
    assert document["detail"] == "expected 20 numbers or a multiple of 20, got 19"
    good = forecast.answer(Message(json.dumps([1.0] * 20).encode(), "application/json"))
    assert good.status == 200


def test_an_empty_server_url_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GP_SERVER_URL", "")
    forecast: Any = load_function(str(FOLDER / "func.py"))
    assert forecast(WINDOWS).shape == (3, 20, 1)
    assert forecast.model.backend == "litert"


def test_it_has_an_adapter_for_every_home(forecast: Function) -> None:
    assert forecast.fn.function is forecast
    assert forecast.openwhisk.function is forecast
    assert forecast.asgi.function is forecast


def read_yaml(path: Path) -> dict[str, str]:
    """Return the lines of a func.yaml as keys and values: it has nothing deeper that repeats."""
    lines = [line.strip(" -") for line in path.read_text().splitlines()]
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_the_root_function_is_the_same() -> None:
    root, own = read_yaml(ROOT / "func.yaml"), read_yaml(FOLDER / "func.yaml")
    entrypoint = "/python/bin/fdk /function/{}func.py handler"
    assert own.pop("entrypoint") == entrypoint.format("")
    assert root.pop("entrypoint") == entrypoint.format("functions/forecast/")
    assert root.pop("version").count(".") == own.pop("version").count(".") == 2  # fn counts them up
    assert root == own
    assert own["schema_version"] == "20180708"
    assert (own["runtime"], own["memory"], own["timeout"]) == ("python", "128", "30")
    assert (own["GP_SERVER_URL"], own["type"], own["source"]) == ('""', "http", "/forecast")


def test_fn_builds_the_same_function_with_a_dockerfile_and_without() -> None:
    """A Dockerfile wins; without one Fn needs a setup.py, and fdk among the requirements."""
    for folder in (ROOT, FOLDER):
        first, *lines = (folder / "Dockerfile").read_text().splitlines()
        assert first.startswith("# Made by: gpfn build functions/forecast --platform fn ")
        assert lines[-1] == 'ENTRYPOINT ["/opt/gpfn/bin/gpfn", "run", "fn", "/function/func.py"]'
        assert "fdk" in (folder / "requirements.txt").read_text()
    assert "ARG FUNCTION=functions/forecast" in (ROOT / "Dockerfile").read_text().splitlines()
    assert (ROOT / "setup.py").is_file()
