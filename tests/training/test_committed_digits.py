"""The committed digits network: as accurate as its card says, and small."""

import dataclasses
import json
from typing import Any

import digits
import digits_card
import numpy as np
import pytest
from agreement import ask
from handwriting import digits as split

from tests.conftest import ROOT

MODELS = ROOT / "models"
LEAST_ACCURACY = 0.98


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return json.loads((MODELS / "digits.json").read_text())


def probabilities(images: np.ndarray) -> np.ndarray:
    return ask(MODELS / "digits.tflite", "image", "probabilities", images)


def accuracy(images: np.ndarray, expected: np.ndarray) -> float:
    return float((probabilities(images).argmax(axis=1) == expected).mean())


def test_it_is_as_accurate_as_its_card_says(facts: dict[str, Any]) -> None:
    test = split(facts["settings"]["seed"])[1]
    measured = accuracy(test.images, test.digits)
    assert measured > LEAST_ACCURACY
    assert measured == pytest.approx(facts["metrics"]["test_accuracy"], abs=1 / len(test.images))
    assert f"**{facts['metrics']['test_accuracy']:.4f}**" in (MODELS / "digits.md").read_text()


def test_it_reads_dark_on_light_too(facts: dict[str, Any]) -> None:
    test = split(facts["settings"]["seed"])[1]
    assert accuracy(255 - test.images, test.digits) > LEAST_ACCURACY


def test_it_gives_probabilities(facts: dict[str, Any]) -> None:
    answers = probabilities(split(facts["settings"]["seed"])[1].images)
    assert answers.shape == (359, 10)
    assert answers.min() >= 0
    assert np.abs(answers.sum(axis=1) - 1).max() < 1e-5


def test_one_image_at_a_time_gives_the_same(facts: dict[str, Any]) -> None:
    images = split(facts["settings"]["seed"])[1].images[:5]
    single = np.concatenate([probabilities(images[row : row + 1]) for row in range(5)])
    assert np.abs(single - probabilities(images)).max() < 1e-5


def test_the_example_is_the_models_answer(facts: dict[str, Any]) -> None:
    example = np.array(facts["example"]["image"], np.uint8).reshape(1, 8, 8, 1)
    answer = probabilities(example)[0]
    assert answer.argmax() == facts["example"]["digit"]
    assert answer.max() == pytest.approx(facts["example"]["probability"], abs=1e-4)


def test_the_card_says_what_the_json_says(facts: dict[str, Any]) -> None:
    assert (MODELS / "digits.md").read_text() == digits_card.card(facts)


def test_the_defaults_made_it(facts: dict[str, Any]) -> None:
    defaults = dataclasses.asdict(digits.Settings())
    assert defaults.pop("out") == MODELS
    assert facts["settings"] == defaults


def test_it_is_small_and_the_function_has_a_copy() -> None:
    model = (MODELS / "digits.tflite").read_bytes()
    assert len(model) < 100_000
    assert (ROOT / "functions" / "digits" / "digits.tflite").read_bytes() == model


def test_there_is_a_label_for_each_probability() -> None:
    assert (MODELS / "digits_labels.txt").read_text().split() == list("0123456789")
