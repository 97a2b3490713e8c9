"""Which targets are classes and which numbers, and how rows are cut and weighed."""

import re

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from tabular_target import Split, Target, balanced, find_target, split

from gpfn.errors import SetupError


def of(*values: object) -> np.ndarray:
    """Return targets as a file gives them: numbers, or an object array of text."""
    return np.array(values, object if isinstance(values[0], str) else np.float64)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (of(*"bab" * 3), ("a", "b")),
        (of(*[0, 1] * 5), ("0", "1")),
        (of(*[10, 9, -1] * 4), ("-1", "9", "10")),
        (of(*["false", "true"] * 3), ("false", "true")),
        (of(*list(range(20)) * 3), tuple(map(str, range(20)))),
    ],
)
def test_texts_and_few_whole_numbers_are_classes(
    values: np.ndarray, classes: tuple[str, ...]
) -> None:
    target = find_target(values, "y")
    assert target.classes == classes
    assert target.values.dtype == np.int32
    assert [classes[place] for place in target.values] == [
        value if isinstance(value, str) else str(int(value)) for value in values
    ]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (np.linspace(0, 1, 30), ""),
        (of(*[0.5, 1] * 10), ""),
        (np.arange(30.0), "y has 30 different whole numbers and is taken for a number"),
    ],
)
def test_all_else_is_a_number(values: np.ndarray, note: str) -> None:
    target = find_target(values, "y")
    assert target.classes == ()
    assert target.values.dtype == np.float32
    assert target.values.tolist() == values.astype(np.float32).tolist()
    assert target.note.startswith(note)
    assert bool(target.note) == bool(note)


def test_the_task_can_be_said() -> None:
    assert find_target(of(*[0, 1] * 10), "y", "regression").classes == ()
    assert len(find_target(of(*list(range(30)) * 3), "y", "classification").classes) == 30
    padded = find_target(of(*[f"{number:03}" for number in range(30)]), "y", "regression")
    assert padded.values.tolist() == list(range(30))


@pytest.mark.parametrize(
    ("values", "task", "told"),
    [
        (of(*"aaaa"), "auto", "y: a in all of 4 rows: one class, two are needed"),
        (of(*[1] * 9), "auto", "y: 1 in all of 9 rows: one class, two are needed"),
        (of(*"aaaab"), "auto", ("y: class b has 1 row, and each of the three parts (training, "
         "validation, test) needs one; give more of it, or leave it out with --signal-region")),
        (of(*[0] * 9, 1, 1), "auto", "y: class 1 has 2 rows, and each"),
        (of(*[f"name {n}" for n in range(400)]), "auto", ("y: 400 different values are too many "
         "classes, 100 at most; is it another column?")),
        (np.arange(400.0), "classification", ("y: 400 different values are too many classes, 100 "
         "at most; was --task regression meant?")),
        (of(*"abab"), "regression", "y: it is text, which only has classes; leave --task away"),
        (of(1, 2.5, 2.5), "classification", "y: 2.5 is no class: numbers with a fraction are for"),
        (of(*[0.1] * 20), "auto", "y: it is 0.1 in every row: nothing can be learnt"),
        (of(0.1, 0.2), "auto", "y: 2 rows are too few to train on; at least 10 are needed"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_told(values: np.ndarray, task: str, told: str) -> None:
    with pytest.raises(SetupError, match=re.escape(told)):
        find_target(values, "y", task)


def test_the_parts_have_all_rows_once_and_their_share_of_each_class() -> None:
    places = np.repeat([0, 1, 2], [1000, 200, 3]).astype(np.int32)
    parts = split(Target(places, ("a", "b", "c")), seed=5)
    assert sorted(np.concatenate(parts)) == list(range(1203))
    shares = {name: np.bincount(places[rows]).tolist() for name, rows in parts._asdict().items()}
    assert shares == {
        "training": [700, 140, 1],
        "validation": [150, 30, 1],
        "test": [150, 30, 1],
    }


def test_the_seed_decides_the_parts() -> None:
    target = Target(np.zeros(100, np.float32), ())
    one, again, other = (split(target, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, one, again))
    assert not np.array_equal(one.test, other.test)
    assert Split._fields == ("training", "validation", "test")
    assert [len(part) for part in one] == [70, 15, 15]


def test_balanced_weights_are_scikit_learns() -> None:
    places = np.repeat([0, 1, 2], [700, 140, 1]).astype(np.int32)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=places)
    assert balanced(places, 3) == pytest.approx(expected, rel=1e-12)
