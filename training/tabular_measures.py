"""How good a trained network is on rows, by scikit-learn's measures; and which columns count."""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Predict", "curves", "importance", "measures"]

Predict = Callable[[np.ndarray], np.ndarray]
"""Values in, float32 [n, k]; probabilities [n, classes] or numbers [n, 1] out."""

_REPEATS = 5
_ROWS, _VALUES = 10_000, 4_000_000


def measures(answers: np.ndarray, targets: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the measures of answers, probabilities or numbers, against the targets."""
    return _of_classes(answers, targets) if classes else _of_numbers(answers[:, 0], targets)


def _of_classes(answers: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    from sklearn import metrics

    told = answers.argmax(axis=1)
    labels = list(range(answers.shape[1]))
    exact = answers.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)  # in float32 they sum to 1 within a few 1e-7
    return {
        "rows": len(targets),
        "auc": area(answers, targets),
        "accuracy": float(metrics.accuracy_score(targets, told)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(targets, told)),
        "log_loss": float(metrics.log_loss(targets, exact, labels=labels)),
        "confusion": metrics.confusion_matrix(targets, told, labels=labels).tolist(),
    }


def _of_numbers(answers: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    from sklearn import metrics

    expected, given = targets.astype(np.float64), answers.astype(np.float64)
    return {
        "rows": len(targets),
        "r2": float(metrics.r2_score(expected, given)),
        "rmse": float(metrics.root_mean_squared_error(expected, given)),
        "mae": float(metrics.mean_absolute_error(expected, given)),
    }


def area(answers: np.ndarray, targets: np.ndarray) -> float:
    """Return the area under the ROC curve; of several classes the mean of one against the rest."""
    from sklearn.metrics import roc_auc_score

    if answers.shape[1] == 2:
        return float(roc_auc_score(targets, answers[:, 1]))
    each = [roc_auc_score(targets == place, answers[:, place]) for place in range(answers.shape[1])]
    return float(np.mean(each))


def curves(
    answers: np.ndarray, targets: np.ndarray, classes: tuple[str, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Return false and true positive rates and the area, by class; of two classes the second's."""
    from sklearn.metrics import roc_auc_score, roc_curve

    found = {}
    for place in (1,) if len(classes) == 2 else range(len(classes)):
        false, true, _ = roc_curve(targets == place, answers[:, place])
        found[classes[place]] = false, true, roc_auc_score(targets == place, answers[:, place])
    return found


def importance(
    predict: Predict, values: np.ndarray, targets: np.ndarray, *, classes: bool, seed: int
) -> np.ndarray:
    """Return what is lost when a column is shuffled, float64 [columns, repeats].

    That is area under the ROC curve, or R² of a number. Of many rows 10,000 are asked, and
    fewer where there are more than 400 columns.
    """
    from sklearn.metrics import r2_score

    def quality(answers: np.ndarray) -> float:
        return area(answers, targets) if classes else float(r2_score(targets, answers[:, 0]))

    chance = np.random.default_rng(seed)
    most = min(_ROWS, max(500, _VALUES // values.shape[1]))
    if len(values) > most:
        order = chance.permutation(len(values))
        chosen = (_every_class(targets, order) if classes else order)[:most]
        values, targets = values[chosen], targets[chosen]
    values = values.copy()
    best = quality(predict(values))
    lost = np.zeros((values.shape[1], _REPEATS))
    for column in range(values.shape[1]):
        original = values[:, column].copy()
        if original.min() < original.max():  # else shuffling changes nothing
            for repeat in range(_REPEATS):
                values[:, column] = chance.permutation(original)
                lost[column, repeat] = best - quality(predict(values))
            values[:, column] = original
    return lost


def _every_class(targets: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Put the first row of every class before the others of an order."""
    _, first = np.unique(targets[order], return_index=True)
    rest = np.setdiff1d(np.arange(len(order)), first, assume_unique=True)
    return order[np.concatenate([first, rest])]
