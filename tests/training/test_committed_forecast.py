"""The committed forecast network: as good as its card says, and the same in every format."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import forecast
import forecast_card
import numpy as np
import pytest
import series
from agreement import TOLERANCE, ask

from gpfn import TensorSpec, open_model
from tests.conftest import ROOT

MODELS = ROOT / "models"
LEAST_MARGIN = 3.0
"""How many times the model's error "next value = last value" has to be off."""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return json.loads((MODELS / "forecast.json").read_text())


@pytest.fixture(scope="module")
def held_out(facts: dict[str, Any]) -> np.ndarray:
    return series.split(facts["settings"]["windows"], facts["settings"]["seed"])[1]


def lite(inputs: np.ndarray) -> np.ndarray:
    return ask(MODELS / "forecast.tflite", "series", "forecast", inputs)


def test_it_beats_the_last_value_by_the_margin_on_its_card(
    facts: dict[str, Any], held_out: np.ndarray
) -> None:
    figures = series.evaluate(lite, held_out)
    assert figures["margin"] > LEAST_MARGIN
    assert figures == pytest.approx({name: facts["metrics"][name] for name in figures}, rel=1e-3)
    assert f"**{figures['margin']:.2f} times**" in (MODELS / "forecast.md").read_text()


def test_it_beats_the_last_value_on_series_with_other_noise(facts: dict[str, Any]) -> None:
    for seed in range(1000, 1010):
        fresh = series.split(facts["settings"]["windows"], seed)[1]
        assert series.evaluate(lite, fresh)["margin"] > LEAST_MARGIN


def test_the_card_says_what_the_json_says(facts: dict[str, Any]) -> None:
    assert (MODELS / "forecast.md").read_text() == forecast_card.card(facts)


def test_the_defaults_made_it(facts: dict[str, Any]) -> None:
    defaults = dataclasses.asdict(forecast.Settings())
    assert defaults.pop("out") == MODELS
    own = {name: value for name, value in defaults.items() if value in (None, False)}
    assert "data" in own
    assert facts["settings"] == {name: defaults[name] for name in defaults if name not in own}


@pytest.mark.parametrize("name", forecast.EXPORTS)
def test_every_export_gives_the_same_numbers(name: str, held_out: np.ndarray) -> None:
    inputs, _ = series.windows(held_out)
    assert np.abs(ask(MODELS / name, "series", "forecast", inputs) - lite(inputs)).max() < TOLERANCE


@pytest.mark.parametrize("name", forecast.EXPORTS)
def test_every_backend_knows_the_same_model(name: str, held_out: np.ndarray) -> None:
    inputs, _ = series.windows(held_out)
    model = open_model(str(MODELS / name))
    try:
        answer = model({"series": inputs})
        assert list(answer) == ["forecast"]
        assert np.abs(answer["forecast"] - lite(inputs)).max() < TOLERANCE
        for spec, of in ((model.inputs, "series"), (model.outputs, "forecast")):
            assert spec == (TensorSpec("float32", (None, 20, 1), of),)
    finally:
        model.close()


def test_the_lite_batch_can_be_resized_and_back() -> None:
    from ai_edge_litert.interpreter import Interpreter

    values = series.windows(series.monthly(301, 1))[0]
    one_by_one = np.concatenate([lite(values[row : row + 1]) for row in range(8)])
    interpreter = Interpreter(str(MODELS / "forecast.tflite"), num_threads=1)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    for rows in (1, 7, 3, 8, 1):
        interpreter.resize_tensor_input(source["index"], (rows, 20, 1))
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], values[:rows])
        interpreter.invoke()
        answer = interpreter.get_tensor(result["index"])
        assert np.abs(answer - one_by_one[:rows]).max() < TOLERANCE


def test_the_frozen_graph_has_one_way_in_and_one_way_out() -> None:
    """Those are graphpipe-tf's defaults, so nobody has to name them."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString((MODELS / "rnn_ts_model.pb").read_bytes())
    read = {name.lstrip("^").partition(":")[0] for node in graph.node for name in node.input}
    assert [node.name for node in graph.node if node.op == "Placeholder"] == ["series"]
    assert [node.name for node in graph.node if node.name not in read] == ["forecast"]
    assert not [node for node in graph.node if "While" in node.op]


def test_the_savedmodel_has_its_tag_and_signature() -> None:
    import tensorflow as tf

    loaded = tf.compat.v1.saved_model.load
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = loaded(session, ["serve"], str(MODELS / "forecast_savedmodel"))
    signature = meta.signature_def["serving_default"]
    assert (list(signature.inputs), list(signature.outputs)) == (["series"], ["forecast"])


def test_the_example_is_the_models_answer(facts: dict[str, Any]) -> None:
    example = np.array(facts["example"]["series"], np.float32).reshape(1, 20, 1)
    assert lite(example).ravel() == pytest.approx(facts["example"]["forecast"], abs=2e-4)


def test_values_go_in_and_out_unscaled(held_out: np.ndarray) -> None:
    inputs, targets = series.windows(held_out)
    assert np.abs(lite(inputs)[:, -1] - targets[:, -1]).max() < 3


def test_files_are_small() -> None:
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert [path for path in files if path.stat().st_size > 200_000] == []


def test_the_function_has_a_copy_of_the_model() -> None:
    copy = ROOT / "functions" / "forecast" / "forecast.tflite"
    assert copy.read_bytes() == (MODELS / "forecast.tflite").read_bytes()


def test_the_pictures_are_there_and_the_card_shows_them() -> None:
    shown = (MODELS / "forecast.md").read_text()
    pictures = sorted(Path(MODELS / "plots").glob("forecast-*.png"))
    assert len(pictures) == 3
    for picture in pictures:
        assert f"(plots/{picture.name})" in shown
