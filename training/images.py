"""Train a classifier of one's own photos; `gpfn train images` calls this.

What the catalogue's MobileNet sees on each photo is computed once, and a small last layer
learns from that which class it is. What is written is one network from bytes to probabilities.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import images_card
from outcome import Outcome
from picture_folder import read_folder, shown
from staging import staging

from gpfn.errors import SetupError
from gpfn.images.preparation import ImageInput
from gpfn.models.description import Description

if TYPE_CHECKING:
    from mobilenet import Features
    from picture_features import Seen
    from picture_folder import PictureFolder
    from picture_learning import Trained

__all__ = ["FILES", "Settings", "train"]

FILES = (
    *("model.tflite", "model.onnx", "model.pb", "saved_model"),
    *("model.toml", "labels.txt", "params.json", "images.json", "images.md"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen. ``folder`` has a folder of photos for each class.

    Without ``out`` a folder called after it is made where the command runs.
    """

    folder: Path | None = None
    base: str = "mobilenet_v2"
    augment: bool = False
    skip: bool = False
    l2: float = 0.001
    patience: int = 20
    learning_rate: float = 0.001
    epochs: int = 200
    seed: int = 7
    out: Path | None = None


class _Base(NamedTuple):
    """The network that sees: its name, its licence, its file, what it takes."""

    name: str
    licence: str
    tflite: Path
    image: ImageInput


def train(settings: Settings) -> Outcome:
    """Train, compare the exports with the network, and write all to ``settings.out``.

    A run that fails leaves the files that were there as they were. Raises GpfnError.
    """
    place = _given(settings)
    out = settings.out or Path(f"{place.resolve().name}-images")
    _check_out(out, place)
    entry = _entry(settings.base)
    folder = read_folder(place)
    base = _base(entry)
    from mobilenet import Features
    from picture_learning import Learning, learn
    from progress import reporting

    features = Features(base.tflite)
    seen = _seen(settings, folder, features, base.image)
    how = Learning(**{name: getattr(settings, name) for name in Learning._fields})
    with reporting(settings.epochs, "loss", every=20) as after_epoch:
        trained = learn(folder.classes, seen, how, after_epoch)
    facts = _written(settings, out, features, trained, base)
    history = [epoch.loss for epoch in trained.fitted.history]
    files = tuple(out / name for name in FILES)
    plots = tuple(sorted((out / "plots").glob("images-*.png")))
    return Outcome(images_card.summary(facts), facts, history, files, plots)


def _written(
    settings: Settings, out: Path, features: "Features", trained: "Trained", base: _Base
) -> dict[str, Any]:
    """Write all files, or none; return what was measured. Raises SetupError."""
    import tensorflow as tf
    from picture_exports import export

    try:
        with staging(out) as made:
            exports = export(made, features, base.image, trained)
            facts = images_card.facts(settings, trained, base, exports)
            _draw(made / "plots", trained, base.image)
            images_card.write(made, facts, base.image)
    except (RuntimeError, tf.errors.OpError) as error:
        told = f"cannot be written: {' '.join(str(error).split()):.200}"
        raise SetupError(f"{told}; what was there is as it was", field=shown(out)) from None
    return facts


def _given(settings: Settings) -> Path:
    """Return the folder of photos. Raises SetupError when it is none."""
    place = settings.folder
    if place is None:
        raise SetupError("which folder? give the one that has a folder of photos for each class")
    if not place.is_dir():
        why = "is no folder" if place.exists() else "there is no such folder"
        raise SetupError(f"{why}; give the one with the folders of classes", field=shown(place))
    return place


def _check_out(out: Path, place: Path) -> None:
    """Raise SetupError for a folder to write to that would become a class."""
    if not out.resolve().is_relative_to(place.resolve()):
        return
    told = f"{shown(out)} lies in {shown(place)}, where it would be a class; write somewhere else"
    raise SetupError(told, field="--out")


def _entry(name: str) -> Description:
    """Return what the catalogue says of the network that sees. Raises SetupError."""
    from gpfn.models.catalogue import default_catalogue

    catalogue = default_catalogue()
    if name not in catalogue:
        told = f"the catalogue has no {name!r:.60}; take mobilenet_v2 or mobilenet_v1"
        raise SetupError(told, field="--base")
    entry = catalogue.get(name)
    image = entry.image
    if image is None or image != ImageInput(image.height, image.width, fit=image.fit):
        told = f"{name} takes no bytes of RGB pictures; take mobilenet_v2 or mobilenet_v1"
        raise SetupError(told, field="--base")
    return entry


def _base(entry: Description) -> _Base:
    """Fetch the network, if need be. Raises DownloadFailed."""
    from gpfn.cli.progress import DownloadProgress
    from gpfn.models.store import obtain_model

    assert entry.image is not None, "_entry has looked"  # noqa: S101
    tflite = obtain_model(entry, progress=DownloadProgress())
    return _Base(entry.name, entry.licence, tflite, entry.image)


def _seen(
    settings: Settings, folder: "PictureFolder", features: "Features", image: ImageInput
) -> "Seen":
    """Return the features of all pictures, with a word on what was left out."""
    import numpy as np
    import tensorflow as tf
    from picture_features import see
    from progress import counting

    tf.config.experimental.enable_op_determinism()
    traced = tf.function(features, input_signature=[tf.TensorSpec((None, *image.shape), tf.uint8)])

    def network(rows: np.ndarray) -> np.ndarray:
        return traced(np.ascontiguousarray(rows)).numpy()

    with counting("pictures", len(folder.pictures)) as after_batch:
        found = see(
            folder,
            image,
            network,
            skip=settings.skip,
            flip=settings.augment,
            after_batch=after_batch,
        )
    for line in images_card.left_out(found):
        print(line, file=sys.stderr)
    return found


def _draw(folder: Path, trained: "Trained", image: ImageInput) -> None:
    import picture_plots

    folder.mkdir()
    picture_plots.learning(folder / "images-learning.png", trained)
    picture_plots.confusion(folder / "images-confusion.png", trained)
    picture_plots.mistakes(folder / "images-mistakes.png", trained, image)


if __name__ == "__main__":
    from gpfn.cli.train import start

    raise SystemExit(start("images", Path(__file__), sys.argv[1:]))
