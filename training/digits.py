"""Train the network that reads handwritten digits; `gpfn train digits` calls this.

A fifth of scikit-learn's digits is held out to test it. The model takes the bytes of a grey
image of 8 by 8 pixels, so that it needs no preparation but resizing.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import digits_card
import numpy as np
from handwriting import SIDE, Part, digits
from outcome import ROOT, Outcome, outcome
from staging import staging

__all__ = ["EXPORTS", "LITE", "Settings", "train"]

SOURCE, RESULT = "image", "probabilities"
EXPORTS = LITE, LABELS = "digits.tflite", "digits_labels.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen; the defaults made the committed model."""

    learning_rate: float = 0.002
    epochs: int = 120
    seed: int = 7
    out: Path = ROOT / "models"


def train(settings: Settings) -> Outcome:
    """Train, compare the export with the network, and write all to ``settings.out``.

    A run that fails leaves the files that were there as they were. Training into the
    checkout's ``models`` also renews the function's own copy of the LiteRT file.
    """
    from convolutional import Convolutional, fit
    from progress import reporting

    learned, test = digits(settings.seed)
    network = Convolutional(settings.seed)
    with reporting(settings.epochs, "loss", every=20) as after_epoch:
        history = fit(
            network,
            learned,
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            after_epoch=after_epoch,
        )
    facts = digits_card.facts(settings, lambda images: network(images).numpy(), history)
    with staging(settings.out) as folder:
        facts["metrics"]["export_apart"] = _export(network, folder, test)
        _plot(folder / "plots", history, test, network(test.images).numpy())
        (folder / LABELS).write_text("".join(f"{digit}\n" for digit in range(10)))
        (folder / "digits.json").write_text(json.dumps(facts, indent=2) + "\n")
        (folder / "digits.md").write_text(digits_card.card(facts))
    return outcome(settings.out, EXPORTS, facts, history, digits_card.summary(facts))


def _export(network: Any, folder: Path, test: Part) -> float:
    from agreement import ask, disagreement
    from exports import Exporter

    exporter = Exporter(
        network, (None, SIDE, SIDE, 1), source=SOURCE, result=RESULT, dtype=np.uint8
    )
    with tempfile.TemporaryDirectory() as savedmodel:
        exporter.savedmodel(Path(savedmodel))
        exporter.lite(Path(savedmodel), folder / LITE)
    answer = ask(folder / LITE, SOURCE, RESULT, test.images)
    return disagreement(network(test.images).numpy(), {LITE: answer})


def _plot(folder: Path, history: list[float], test: Part, probabilities: np.ndarray) -> None:
    import plots

    folder.mkdir()
    plots.error_by_epoch(folder / "digits-loss.png", history, "cross-entropy")
    plots.images_with_answers(
        folder / "digits-test.png", test.images, test.digits, probabilities.argmax(axis=1)
    )


if __name__ == "__main__":
    from gpfn.cli.train import start

    raise SystemExit(start("digits", Path(__file__), sys.argv[1:]))
