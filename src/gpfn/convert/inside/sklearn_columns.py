"""What an estimator or pipeline of scikit-learn tells of the columns that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = [
    "TEXT",
    "column_kinds",
    "encoded",
    "first_step",
    "known_values",
    "parts",
    "spans",
    "vectorizers",
]

TEXT = ("TfidfVectorizer", "CountVectorizer")
"""Steps that take texts and no columns."""
_WORDS = 200


def spans(model: Any) -> list[list[float]]:
    """Return where the values of a matrix's columns lie, as scalers and thresholds tell."""
    width = int(getattr(model, "n_features_in_", 0))
    first = first_step(model)
    if hasattr(first, "mean_") and hasattr(first, "scale_"):
        means, scales = (np.broadcast_to(each, width) for each in (first.mean_, first.scale_))
        return [[float(m - 2 * s), float(m + 2 * s)] for m, s in zip(means, scales, strict=True)]
    ends = [[np.inf, -np.inf] for _ in range(width)]
    for part in parts(first):
        tree = getattr(part, "tree_", None)
        if tree is None or int(getattr(part, "n_features_in_", 0)) != width:
            continue
        for feature, threshold in zip(tree.feature, tree.threshold, strict=True):
            if feature >= 0:
                low, high = ends[feature]
                ends[feature] = [min(low, threshold), max(high, threshold)]
    if all(low > high for low, high in ends):
        return []
    return [_wider(low, high) for low, high in ends]


def known_values(model: Any, names: list[str]) -> dict[str, list[Any]]:
    """Return texts and categories that columns know, and a text that they may not know.

    An encoder refuses all others, unless it was told how to handle them.
    """
    first = first_step(model)
    if type(first).__name__ in TEXT:
        known = sorted(map(str, getattr(first, "vocabulary_", {})))
        return {"text": [*known[:_WORDS], *(" ".join(known[at : at + 3]) for at in range(9))]}
    found: dict[str, list[Any]] = {}
    for at, categories, unknown in _categories(first, len(names)):
        if categories.dtype.kind in "OUS":
            texts = [text for text in categories.tolist() if isinstance(text, str)]
            found[names[at]] = texts[:_WORDS] + (["unknown"] if unknown else [])
        elif not unknown:
            found[names[at]] = [float(each) for each in categories[:_WORDS] if np.isfinite(each)]
    return {name: values for name, values in found.items() if values}


def _wider(low: float, high: float) -> list[float]:
    if low > high:
        return [-1.0, 1.0]
    spare = (high - low) * 0.25 or max(1.0, abs(high)) * 0.25
    return [float(low - spare), float(high + spare)]


def first_step(model: Any) -> Any:
    """Return what sees the columns first."""
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps"):
            model = model.steps[0][1]
        else:
            return model


def parts(model: Any) -> Iterator[Any]:
    """Yield an estimator and all that it is made of."""
    yield model
    inner: list[Any] = []
    if hasattr(model, "best_estimator_"):
        inner.append(model.best_estimator_)
    inner += [step for _, step in getattr(model, "steps", [])]
    inner += [each for _, each, _ in getattr(model, "transformers_", [])]
    for name in ("estimators_", "calibrated_classifiers_"):
        inner += list(np.ravel(np.asarray(getattr(model, name, []), object)))
    inner += [
        getattr(model, name, None) for name in ("estimator_", "final_estimator_", "estimator")
    ]
    for each in inner:
        if hasattr(each, "get_params"):
            yield from parts(each)


def vectorizers(model: Any) -> list[type]:
    """Return the classes of all steps that take texts."""
    return list({type(part) for part in parts(model) if type(part).__name__ in TEXT})


def encoded(step: Any, width: int) -> dict[int, str]:
    """Return what kinds of values a step's columns are, where it tells."""
    found = {}
    for at, categories in enumerate(getattr(step, "categories_", [])[:width]):
        kind = np.asarray(categories).dtype.kind
        found[at] = "text" if kind in "OUS" else "int" if kind in "iub" else "float"
    statistics = getattr(step, "statistics_", None)
    if statistics is not None and np.asarray(statistics).dtype.kind in "OUS":
        found.update({at: "text" for at, v in enumerate(statistics) if isinstance(v, str)})
    return found


def _placed(transformer: Any, width: int) -> Iterator[tuple[Any, list[int]]]:
    """Yield the steps of a ColumnTransformer that see its columns, with their places."""
    names = [str(name) for name in getattr(transformer, "feature_names_in_", [])]
    for _, step, columns in transformer.transformers_:
        listed: list[Any] = (
            list(range(width)[columns])
            if isinstance(columns, slice)
            else [columns]
            if np.isscalar(columns)
            else list(columns)
        )
        if listed and isinstance(listed[0], bool | np.bool_):
            listed = [at for at, taken in enumerate(listed) if taken]
        places = [names.index(each) if isinstance(each, str) else int(each) for each in listed]
        if not isinstance(step, str):
            yield step, places


def column_kinds(transformer: Any, width: int) -> dict[int, str]:
    """Return what kind of values each column has, by its place, where a step tells."""
    kinds: dict[int, str] = {}
    for step, places in _placed(transformer, width):
        for part in parts(step):
            if type(part).__name__ in TEXT:
                kinds.update(dict.fromkeys(places, "text"))
            for at, kind in encoded(part, len(places)).items():
                kinds.setdefault(places[at], kind)
    return kinds


def _categories(first: Any, width: int) -> Iterator[tuple[int, np.ndarray, bool]]:
    placed = hasattr(first, "transformers_")
    for step, places in _placed(first, width) if placed else [(first, [*range(width)])]:
        for part in parts(step):
            unknown = getattr(part, "handle_unknown", "error") != "error"
            for at, categories in enumerate(getattr(part, "categories_", [])[: len(places)]):
                yield places[at], np.asarray(categories), unknown
