"""The model card of a network over columns, and the line that sums it up."""

from typing import Any

__all__ = ["card", "notes", "summary"]

_MOST_COLUMNS = 60
_MOST_CONFUSED = 12
_GONE = {
    "unreadable": "could not be read",
    "outside_region": "are outside of the signal region",
    "without_target": "have no target",
    "not_finite": "have an infinite value",
}


def summary(facts: dict[str, Any]) -> str:
    """Say in a line how good the network is."""
    metrics, rows = facts["metrics"], facts["metrics"]["test"]["rows"]
    if facts["data"]["classes"]:
        found = metrics["test"]
        told = f"test AUC {found['auc']:.4f}, accuracy {found['accuracy']:.4f} on {rows:,} rows"
        return f"{told}; always the commonest class: {metrics['baseline']:.4f}"
    return (
        f"test R² {metrics['test']['r2']:.4f}, RMSE {metrics['test']['rmse']:.4g} "
        f"on {rows:,} rows; always the mean: {metrics['baseline']:.4g}"
    )


def notes(facts: dict[str, Any]) -> list[str]:
    """Return what a user has to know of the rows and columns, a line each."""
    counts, data = facts["data"]["rows"], facts["data"]
    found = [f"{counts[key]:,} rows {told}" for key, told in _GONE.items() if counts[key]]
    if counts["with_missing"]:
        kept = facts["settings"]["missing"] == "median"
        told = (
            "have a missing value: the column's median stands for it"
            if kept
            else ("have a missing value and are set aside; --missing median keeps them")
        )
        found.append(f"{counts['with_missing']:,} rows {told}")
    if counts["usable"] > data["sample"]:
        told = f"{data['sample']:,} of {counts['usable']:,} usable rows are taken"
        found.append(f"{told}, each with the same chance; --max-rows takes more")
    if data["constant"]:
        told = ", ".join(data["constant"][:8])
        more = f" and {len(data['constant']) - 8} more" if len(data["constant"]) > 8 else ""
        found.append(f"constant, so that their values never count: {told}{more}")
    return [*found, *([data["target_note"]] if data["target_note"] else [])]


def card(facts: dict[str, Any]) -> str:
    """Return the model card, in Markdown."""
    return "\n".join(
        part for part in (_head(facts), _data(facts), _training(facts), _results(facts)) if part
    )


def _head(facts: dict[str, Any]) -> str:
    data, settings = facts["data"], facts["settings"]
    classes, width = data["classes"], len(data["features"])
    result = (
        f"`probabilities` | float32 | (n, {len(classes)}): of {_listed(classes, 12)}"
        if classes
        else f"`prediction` | float32 | (n, 1): {_cell(data['target'])}"
    )
    layers = ", ".join(map(str, settings["hidden"]))
    return f"""\
# {_cell(facts["title"])}

Written by `gpfn train tabular`; the same figures for machines are in `tabular.json`.

A dense network ({layers} ReLU units, then {"a softmax" if classes else "one number"}) over
{width} columns.

| | name | dtype | shape |
|---|---|---|---|
| input | `features` | float32 | (n, {width}), the columns below in their order |
| output | {result} |

Values go in as the data has them: scaling to mean 0 and standard deviation 1 is inside the
model, in every format. `model.toml` names the columns, so rows with names work too.

| file | format |
|---|---|
| `model.tflite` | LiteRT; the batch can be resized |
| `model.onnx` | ONNX |
| `model.pb` | frozen TensorFlow graph, for TFaaS with `params.json` and `labels.txt` |
| `model_savedmodel/` | SavedModel, tag `serve`, signature `serving_default` |

On the test rows their answers are at most {facts["metrics"]["exports_apart"]:.1e} apart from the
trained network's.
"""


def _data(facts: dict[str, Any]) -> str:
    data = facts["data"]
    counts, parts = data["rows"], data["parts"]
    files = "\n".join(
        f"| `{_cell(file['name'])}` | {_cell(file['label']) or '-'} |" for file in data["files"]
    )
    region = (
        f"Only rows inside of the signal region are used, in training and in every figure here:\n"
        f"`{data['signal_region']}`. The model was not tried on rows outside of it.\n\n"
        if data["signal_region"]
        else ""
    )
    told = "".join(f"- {line}\n" for line in notes(facts))
    return f"""\
## Data

| file | class |
|---|---|
{files}

{region}Of {counts["read"]:,} rows {counts["usable"]:,} can be used, {data["sample"]:,} were. They
were cut at random into {parts["training"]:,} for training, {parts["validation"]:,} for validation,
which decide when to stop, and {parts["test"]:,} for the test, which nothing else has seen: no
weight, no scaling, no median.

{told}
{_columns(data)}
"""


def _columns(data: dict[str, Any]) -> str:
    rows = [
        f"| {place} | {_cell(each['name'])} | {each['mean']:.6g} | {each['deviation']:.6g} "
        f"| {_number(each['default'])} | {each['importance']:.4f} |"
        for place, each in enumerate(data["columns"][:_MOST_COLUMNS])
    ]
    more = len(data["columns"]) - len(rows)
    end = f"\n\nand {more} more, which are in `tabular.json`." if more > 0 else ""
    head = "| | column | mean | standard deviation | stands for a gap | importance |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows]) + end


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _training(facts: dict[str, Any]) -> str:
    settings, data, fit = facts["settings"], facts["data"], facts["fit"]
    weights, loss = "", "mean squared error, in standard deviations of the target"
    if data["classes"]:
        loss = "cross-entropy"
        rows = "\n".join(
            f"| {_cell(each['name'])} | {each['rows']:,} | {each['weight']:.4g} |"
            for each in data["class_table"]
        )
        weights = f"\n| class | rows | weight |\n|---|---|---|\n{rows}\n"
        if settings["class_weights"] == "balanced":
            weights += (
                "\nThe weights make every class count as much as another. So the probabilities\n"
                "are those of a world in which all classes are equally frequent.\n"
            )
    return f"""\
## Training

| setting | value |
|---|---|
| hidden units | {", ".join(map(str, settings["hidden"]))} |
| optimiser | Adam, learning rate {settings["learning_rate"]} |
| loss | {loss} |
| batch | {settings["batch"]} rows |
| epochs | {fit["epochs"]} of {settings["epochs"]}; epoch {fit["best"]} was kept |
| early stopping | {settings["patience"]} epochs without a lower loss on the validation rows |
| seed | {settings["seed"]} |
{weights}
![Loss by epoch](plots/tabular-loss.png)
"""


def _results(facts: dict[str, Any]) -> str:
    data, metrics = facts["data"], facts["metrics"]
    table = _class_results(facts) if data["classes"] else _number_results(facts)
    sure = ", with a high probability at times" if data["classes"] else ""
    measure = "the area under the ROC curve (AUC)" if data["classes"] else "R²"
    return f"""\
## Results

{table}
![Importance of the columns](plots/tabular-importance.png)

The importance of a column is what {measure} loses on test rows when that column is shuffled, the
mean of five times. Of two columns that say the same, both may seem unimportant.

## Limits

It knows rows such as those it was trained on. Far outside of the columns' ranges its answers mean
nothing, and it gives one all the same{sure}. {_beats(metrics)}
"""


def _beats(metrics: dict[str, Any]) -> str:
    return (
        "It beats the baseline above."
        if metrics["beats_baseline"]
        else "**It does not beat the baseline: do not use it.**"
    )


def _class_results(facts: dict[str, Any]) -> str:
    metrics, classes = facts["metrics"], facts["data"]["classes"]
    lines = "".join(
        f"| {told} | {metrics['training'][key]:.4f} | {metrics['validation'][key]:.4f} "
        f"| **{metrics['test'][key]:.4f}** |\n"
        for key, told in (
            ("auc", "AUC" if len(classes) == 2 else "AUC, mean of each class against the rest"),
            ("accuracy", "accuracy"),
            ("balanced_accuracy", "accuracy, mean of the classes"),
            ("log_loss", "cross-entropy"),
        )
    )
    return f"""\
| | training | validation | test |
|---|---|---|---|
{lines}
Always the commonest class would be right for {metrics["baseline"]:.4f} of the test rows.
{_confused(metrics["test"]["confusion"], classes)}
![ROC](plots/tabular-roc.png)

![Scores by class](plots/tabular-scores.png)

Bars are training rows, points test rows with the square root of their number as error. Points that
leave the bars on one side would mean that the network knows its training rows by heart.
"""


def _confused(confusion: list[list[int]], classes: list[str]) -> str:
    if len(classes) > _MOST_CONFUSED:
        return ""
    head = "| | " + " | ".join(map(_cell, classes)) + " |\n|" + "---|" * (len(classes) + 1)
    rows = "\n".join(
        f"| **{_cell(name)}** | " + " | ".join(f"{count:,}" for count in row) + " |"
        for name, row in zip(classes, confusion, strict=True)
    )
    told = "How often a class (row) was taken for which (column), of the test rows:"
    return f"\n{told}\n\n{head}\n{rows}\n"


def _number_results(facts: dict[str, Any]) -> str:
    metrics = facts["metrics"]
    lines = "".join(
        f"| {told} | {metrics['training'][key]:.5g} | {metrics['validation'][key]:.5g} "
        f"| **{metrics['test'][key]:.5g}** |\n"
        for key, told in (("r2", "R²"), ("rmse", "root mean squared error"), ("mae", "mean error"))
    )
    return f"""\
| | training | validation | test |
|---|---|---|---|
{lines}
Always the mean of the training rows would have a root mean squared error of
{metrics["baseline"]:.5g} on the test rows.

![Predicted and true](plots/tabular-predicted.png)

![Residuals](plots/tabular-residuals.png)
"""


def _cell(text: str) -> str:
    """Return a name so that no table breaks: on one line, bars and signs of Markdown escaped."""
    return "".join(f"\\{c}" if c in "|`*_[]<>\\" else c for c in " ".join(text.split()))


def _listed(names: list[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(_cell, names[:most])) + more
