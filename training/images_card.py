"""The measurements of a trained classifier of photos, and its model card."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from picture_description import write_description
from picture_folder import shown

from gpfn.images.preparation import ImageInput

if TYPE_CHECKING:
    from picture_features import Seen
    from picture_learning import Trained

__all__ = ["card", "facts", "left_out", "summary", "write"]

_NAMED = 5
_MOST_LISTED = 30
_FEW = 10
_MOST_CONFUSED = 100
_MOST_MISTAKES = 10


def facts(
    settings: Any, trained: "Trained", base: Any, exports: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Measure what was trained; ``settings`` is images.Settings, the result is JSON's."""
    from picture_learning import interval

    fitted, parts, seen = trained.fitted, trained.parts, trained.seen
    right = int((trained.found == trained.expected).sum())
    count = len(trained.expected)
    confused = np.zeros((len(trained.classes),) * 2, int)
    np.add.at(confused, (trained.expected, trained.found), 1)
    whole = len(trained.classes) <= _MOST_CONFUSED
    usual = float(np.bincount(trained.expected).max() / count)
    best = fitted.history[fitted.best - 1]
    return {
        "model": "images",
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", settings.folder.resolve().name).strip("-.")
        or "images",
        "base": {"name": base.name, "licence": base.licence, "features": seen.features.shape[1]},
        "classes": list(trained.classes),
        "settings": _chosen(settings),
        "data": {
            "pictures": len(seen.pictures),
            "by_class": np.bincount(seen.labels, minlength=len(trained.classes)).tolist(),
            "learned": len(parts.learned),
            "validation": len(parts.validation),
            "held_out": count,
            "unreadable": [shown(problem.path) for problem in seen.problems],
            "repeats": [shown(path) for path in seen.repeats],
            "in_several_classes": [shown(path) for path in seen.torn],
        },
        "metrics": {
            "accuracy": right / count,
            "accuracy_95": list(interval(right, count)),
            "accuracy_by_folds": trained.crossed,
            "most_frequent_class": usual,
            "beats_baseline": right / count > usual,
            "training_loss": best.loss,
            "training_accuracy": best.accuracy,
            "validation_loss": None if math.isnan(best.validation_loss) else best.validation_loss,
            "epochs": fitted.best,
            "confusion": confused.tolist() if whole else None,
            "mistaken": [*_mistaken(trained.classes, confused)][:_MOST_CONFUSED],
        },
        "exports": exports,
        "example": _example(settings.folder, trained),
    }


def _mistaken(classes: tuple[str, ...], confused: np.ndarray) -> Iterator[list[Any]]:
    """Yield class, what it was taken for and how often, the most frequent mistake first."""
    wrong = confused - np.diag(confused.diagonal())
    pairs = np.argwhere(wrong)
    for row, column in pairs[np.argsort(-wrong[tuple(pairs.T)], kind="stable")]:
        yield [classes[row], classes[column], int(wrong[row, column])]


def _example(folder: Path, trained: "Trained") -> dict[str, Any]:
    """Return a held-out picture, its class and its probabilities, in the order of the classes."""
    path = trained.seen.pictures[trained.parts.held_out[0]]
    return {
        "picture": shown(path.relative_to(folder)),
        "class": trained.classes[trained.expected[0]],
        "probabilities": [round(float(value), 6) for value in trained.answers[0]],
    }


def _chosen(settings: Any) -> dict[str, Any]:
    given = {name: value for name, value in asdict(settings).items() if name != "out"}
    return {**given, "folder": shown(settings.folder)}


def left_out(seen: "Seen") -> Iterator[str]:
    """Yield a line for each kind of picture that no class learned from."""
    told = (
        ([problem.path for problem in seen.problems], "cannot be read"),
        (seen.repeats, "there twice in a class; the first one counts"),
        (seen.torn, "the same picture in several classes, left out of all; put it into one"),
    )
    for paths, reason in told:
        if paths:
            named = ", ".join(shown(path) for path in paths[:_NAMED])
            more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
            yield f"{len(paths)} left out ({reason}): {named}{more}"


def summary(facts: dict[str, Any]) -> str:
    """Say how good the classifier is, in the last line; before it what few pictures mean."""
    metrics, data = facts["metrics"], facts["data"]
    low, high = metrics["accuracy_95"]
    line = (
        f"held-out accuracy {metrics['accuracy']:.4f} on {data['held_out']} pictures "
        f"({low:.2f} to {high:.2f} with 95 % confidence), "
        f"the most frequent class {metrics['most_frequent_class']:.4f}"
    )
    return "\n".join([*_few(facts), line])


def _few(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what has to be said of few pictures."""
    crossed, data = facts["metrics"]["accuracy_by_folds"], facts["data"]
    if crossed is not None:
        told = "each told by a layer that has not seen it"
        yield f"accuracy over all {data['pictures']} pictures, {told}: {crossed:.4f}"
    fewest = min(data["by_class"])
    if fewest < _FEW:
        name = facts["classes"][data["by_class"].index(fewest)]
        yield f"{name} has only {fewest} pictures: what it is mistaken for is hardly known"


def write(folder: Path, facts: dict[str, Any], image: ImageInput) -> None:
    """Write the labels, model.toml, params.json, images.json and images.md into ``folder``."""
    write_description(folder, facts["classes"], image, facts["base"]["name"])
    told = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "images.json").write_text(told + "\n", encoding="utf-8")
    (folder / "images.md").write_text(card(facts, image), encoding="utf-8")


def card(facts: dict[str, Any], image: ImageInput) -> str:
    """Return the model card, in Markdown."""
    metrics, data, settings = facts["metrics"], facts["data"], facts["settings"]
    base, count = facts["base"], len(facts["classes"])
    low, high = metrics["accuracy_95"]
    few = "".join(f"\n{_plain(line[0].upper() + line[1:])}.\n" for line in _few(facts))
    return f"""\
# {_plain(facts["name"])}: which of {count} classes a photo shows

Written by `gpfn train images`; the same figures for machines are in `images.json`.

The features of {base["name"]} ({base["licence"]}), {base["features"]} numbers a picture, and a
layer trained on them.

| | name | dtype | shape |
|---|---|---|---|
| input | `image` | uint8 | (n, {image.height}, {image.width}, 3), RGB |
| output | `probabilities` | float32 | (n, {count}), in the order of `labels.txt` |

`model.toml` says how a picture becomes the input, so functions and commands of gpfn take any
picture. The scaling of bytes is inside the model.

| file | bytes | furthest from the trained network |
|---|---|---|
{_exports(facts)}

## Data

| class | pictures |
|---|---|
{_classes(facts)}

{data["learned"]} were learned from{_mirrored(settings)}, {data["validation"]} said when to stop,
and {data["held_out"]} were held out, drawn at random from each class (seed {settings["seed"]}).
{_left_out(data)}

## Training

| setting | value |
|---|---|
| optimiser | Adam, learning rate {settings["learning_rate"]}, batches of 64 |
| loss | cross-entropy, each class weighing the same; L2 of {settings["l2"]} |
| epochs | {_epochs(facts)} |

![Loss and accuracy by epoch](plots/images-learning.png)

## Results

| on the {data["held_out"]} pictures held out | |
|---|---|
| accuracy | **{metrics["accuracy"]:.4f}** |
| where it lies with 95 % confidence | {low:.2f} to {high:.2f} |
| always saying the most frequent class | {metrics["most_frequent_class"]:.4f} |
{few}{_mistakes(metrics["mistaken"])}
![What was taken for what](plots/images-confusion.png)

![Held-out pictures with answers](plots/images-mistakes.png)

## Limits

It says one of its classes of every picture, also of one that shows none of them. Pictures that
were taken together, such as frames of one film, look alike: when some of them were held out, the
accuracy is better than it will be on new ones.
"""


def _exports(facts: dict[str, Any]) -> str:
    rows = facts["exports"].items()
    return "\n".join(
        f"| `{name}` | {each['bytes']:,} | {each['apart']:.1e} |" for name, each in rows
    )


def _classes(facts: dict[str, Any]) -> str:
    pairs = list(zip(facts["classes"], facts["data"]["by_class"], strict=True))
    rows = [f"| {_plain(name)} | {count} |" for name, count in pairs[:_MOST_LISTED]]
    more = pairs[_MOST_LISTED:]
    if more:
        rows.append(f"| {len(more)} more | {sum(count for _, count in more)} |")
    return "\n".join(rows)


def _epochs(facts: dict[str, Any]) -> str:
    done, settings = facts["metrics"]["epochs"], facts["settings"]
    if not facts["data"]["validation"]:
        return f"{done}: too few pictures for a part that says when to stop"
    later = f"the loss of the validation part was no better {settings['patience']} epochs later"
    return (
        f"{done}, of at most {settings['epochs']}: {later}"
        if done < settings["epochs"]
        else f"{done}"
    )


def _mistakes(mistaken: list[list[Any]]) -> str:
    if not mistaken:
        return ""
    rows = "".join(
        f"| {_plain(name)} | {_plain(taken)} | {count} |\n"
        for name, taken, count in mistaken[:_MOST_MISTAKES]
    )
    return f"\nThe most frequent mistakes:\n\n| class | taken for | times |\n|---|---|---|\n{rows}"


def _mirrored(settings: dict[str, Any]) -> str:
    return ", each as it is and mirrored" if settings["augment"] else ""


def _left_out(data: dict[str, Any]) -> str:
    told = (
        (data["unreadable"], "could not be read"),
        (data["repeats"], "were there twice in a class"),
        (data["in_several_classes"], "lay in several classes"),
    )
    parts = [f"{len(names)} {reason}" for names, reason in told if names]
    return f"Left out: {', '.join(parts)}." if parts else "Nothing was left out."


def _plain(text: str) -> str:
    """Return a text that Markdown takes as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", text)
