"""What is to be learnt: classes or a number, and which rows it is learnt and judged on."""

from typing import NamedTuple

import numpy as np
from label_texts import numbers_of

from gpfn.errors import SetupError

__all__ = ["Split", "Target", "balanced", "find_target", "split"]

AUTO_CLASSES = 20
"""Whole numbers that are no more than so many different ones are taken for classes."""
MOST_CLASSES = 100
TEST, VALIDATION = 0.15, 0.15
LEAST_OF_A_CLASS, LEAST_ROWS = 3, 10


class Target(NamedTuple):
    """The targets as numbers: int32 places in ``classes``, or float32 when there are none."""

    values: np.ndarray
    classes: tuple[str, ...]
    note: str = ""


class Split(NamedTuple):
    """The numbers of the rows of each part; no row is in two of them."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def find_target(values: np.ndarray, name: str, task: str = "auto") -> Target:
    """Say what the targets are: float64 [n], or an object array [n] of labels.

    Texts are classes. Whole numbers are classes when they are at most `AUTO_CLASSES` different
    ones; all others are a number to be predicted. ``task`` can say otherwise. Raises SetupError
    for one class only, too many of them, a class with too few rows, and words to regress on.
    """
    if values.dtype == object:
        return _regressed(values, name) if task == "regression" else _classes(values, name)
    different, whole = _different(values)
    few = len(different) <= AUTO_CLASSES
    if task == "classification" or (task == "auto" and whole and few):
        if not whole:
            told = f"{values[values % 1 != 0][0]:g} is no class: numbers with a fraction are for"
            raise SetupError(f"{told} --task regression", field=name)
        return _classes(np.array([int(value) for value in values], object), name)
    return _number(values, name, counted=whole and task == "auto")


def _regressed(texts: np.ndarray, name: str) -> Target:
    """Return texts as the numbers that they are written as, such as 007."""
    numbers = numbers_of(texts)
    if numbers is None:
        raise SetupError("it is text, which only has classes; leave --task away", field=name)
    return _number(numbers, name, counted=False)


def _different(values: np.ndarray) -> tuple[np.ndarray, bool]:
    return np.unique(values), bool(np.all(values % 1 == 0))


def _number(values: np.ndarray, name: str, *, counted: bool) -> Target:
    if len(values) < LEAST_ROWS:
        told = f"{len(values)} rows are too few to train on; at least {LEAST_ROWS} are needed"
        raise SetupError(told, field=name)
    if values.min() == values.max():
        raise SetupError(f"it is {values[0]:g} in every row: nothing can be learnt", field=name)
    different = len(np.unique(values))
    told = f"{name} has {different:,} different whole numbers and is taken for a number; "
    note = told + "if they are classes, say --task classification" if counted else ""
    return Target(values.astype(np.float32), (), note)


def _classes(values: np.ndarray, name: str) -> Target:
    found = sorted(set(values))
    if len(found) > MOST_CLASSES:
        told = f"{len(found):,} different values are too many classes, {MOST_CLASSES} at most"
        way = "is it another column?" if type(found[0]) is str else "was --task regression meant?"
        raise SetupError(f"{told}; {way}", field=name)
    if len(found) == 1:
        told = f"{found[0]} in all of {len(values)} rows: one class, two are needed"
        raise SetupError(told, field=name)
    places = {value: place for place, value in enumerate(found)}
    numbers = np.array([places[value] for value in values], np.int32)
    for value, count in zip(found, np.bincount(numbers), strict=True):
        if count < LEAST_OF_A_CLASS:
            rows = "1 row" if count == 1 else f"{count} rows"
            told = f"class {value} has {rows}, and each of the three parts"
            way = "give more of it, or leave it out with --signal-region"
            raise SetupError(f"{told} (training, validation, test) needs one; {way}", field=name)
    return Target(numbers, tuple(map(str, found)))


def split(target: Target, seed: int) -> Split:
    """Cut the rows into three parts at random, each with its share of every class."""
    chance = np.random.default_rng(seed)
    groups = range(len(target.classes)) if target.classes else (None,)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for group in groups:
        rows = np.arange(len(target.values))
        rows = rows if group is None else rows[target.values == group]
        order = chance.permutation(rows)
        test = max(1, round(len(order) * TEST))
        validation = max(1, round(len(order) * VALIDATION))
        cut = len(order) - test - validation
        for part, found in zip(parts, np.split(order, [cut, cut + validation]), strict=True):
            part.append(found)
    return Split(*(np.sort(np.concatenate(part)) for part in parts))


def balanced(places: np.ndarray, classes: int) -> np.ndarray:
    """Return a weight for each class, by which all count as much: n / (classes * rows of it)."""
    return len(places) / (classes * np.bincount(places, minlength=classes))
