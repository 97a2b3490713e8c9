"""The dense network: scaling inside, early stopping, weights, and the same for the same seed."""

import numpy as np
import pytest
from dense import Dense, Fit, Part, Scaling, fit
from tabular_measures import area, importance, measures


def made(rows: int, seed: int, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of very different sizes, and classes that the third of them decides."""
    chance = np.random.default_rng(seed)
    values = chance.normal(0, 1, (rows, width))
    noisy = values[:, 2] + 0.3 * values[:, 0] + chance.normal(0, 0.2, rows)
    sizes = np.array([1, 1e4, 1e-4, 1, 1])
    return (values * sizes + sizes * 3).astype(np.float32), (noisy > 0).astype(np.int32)


def part(values: np.ndarray, targets: np.ndarray) -> Part:
    return Part(values, targets, np.ones(len(values), np.float32))


def trained(seed: int = 1, epochs: int = 40, patience: int = 10, rate: float = 0.01,
            classes: int = 2) -> tuple[Dense, Fit]:  # fmt: skip
    values, targets = made(800, 5)
    network = Dense(Scaling.of(values), (16,), classes=classes, seed=seed)
    found = fit(
        network,
        part(values, targets),
        part(*made(200, 6)),
        epochs=epochs,
        patience=patience,
        batch=64,
        learning_rate=rate,
        seed=seed,
        after_epoch=lambda number, error: None,
    )
    return network, found


@pytest.fixture(scope="module")
def run() -> tuple[Dense, Fit]:
    return trained()


def test_scaling_is_that_of_numpy_and_constants_never_count() -> None:
    values = np.array([[1, 5, 0.1], [3, 5, 0.1], [8, 5, 0.1]], np.float32)
    scaling = Scaling.of(values)
    assert (
        scaling.mean.tolist() == values.astype(np.float64).mean(axis=0).astype(np.float32).tolist()
    )
    assert scaling.factor.tolist() == [np.float32(1 / np.std([1, 3, 8]).astype(np.float32)), 0, 0]
    network = Dense(scaling, (4,), classes=2, seed=1)
    rows = np.array([[2, 5, 0.1], [2, 1e6, -3]], np.float32)
    answers = network(rows).numpy()
    assert answers[0].tolist() == answers[1].tolist()


def test_it_learns_and_its_measures_are_good(run: tuple[Dense, Fit]) -> None:
    values, targets = made(500, 7)
    found = measures(run[0](values).numpy(), targets, ("no", "yes"))
    assert found["auc"] > 0.97
    assert found["rows"] == np.sum(found["confusion"]) == 500
    assert found["log_loss"] < 0.3


def test_the_column_that_decides_is_the_most_important(run: tuple[Dense, Fit]) -> None:
    values, targets = made(500, 8)

    def predict(rows: np.ndarray) -> np.ndarray:
        return run[0](rows).numpy()

    before = values.copy()
    lost = importance(predict, values, targets, classes=True, seed=1)
    assert lost.shape == (5, 5)
    order = np.argsort(-lost.mean(axis=1))
    assert order[:2].tolist() == [2, 0]
    assert lost[2].mean() > 0.3
    assert np.abs(lost[[1, 3, 4]]).max() < 0.02
    assert np.array_equal(values, before)


def test_importance_of_many_rows_asks_some_of_every_class() -> None:
    targets = np.zeros(30_000, np.int32)
    targets[77] = 1
    values = targets[:, np.newaxis].astype(np.float32)
    asked = []

    def predict(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return np.concatenate([1 - rows, rows], axis=1)

    importance(predict, values, targets, classes=True, seed=1)
    assert asked == [10_000] * 6


def test_the_weights_of_the_best_epoch_are_kept(run: tuple[Dense, Fit]) -> None:
    network, found = run
    assert found.validation[found.best - 1] == min(found.validation)
    assert len(found.training) == len(found.validation)
    values, targets = made(200, 6)
    loss = float(network.losses(values, targets).numpy().mean())
    assert loss == pytest.approx(min(found.validation), rel=1e-5)


def test_it_ends_when_validation_gets_no_better() -> None:
    _, found = trained(epochs=500, patience=5, rate=0.05)
    assert len(found.validation) == found.best + 5 < 500


def test_the_seed_gives_the_same_weights_again(run: tuple[Dense, Fit]) -> None:
    again, history = trained()
    assert history.training == run[1].training
    for one, other in zip(run[0].variables, again.variables, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()
    assert trained(seed=2, epochs=1)[1].training != history.training[:1]


def test_weights_count() -> None:
    """A class of a weight of zero is never learnt."""
    values, targets = made(400, 9)
    weights = np.where(targets == 1, 0, 1).astype(np.float32)
    network = Dense(Scaling.of(values), (8,), classes=2, seed=1)
    both = Part(values, targets, weights)
    fit(network, both, both, epochs=20, patience=20, batch=64, learning_rate=0.05, seed=1,
        after_epoch=lambda number, error: None)  # fmt: skip
    assert network(values).numpy().argmax(axis=1).tolist() == [0] * 400


def test_a_number_is_given_in_its_own_units() -> None:
    values = np.random.default_rng(1).normal(0, 1, (600, 2)).astype(np.float32)
    targets = (values @ [300.0, -100.0] + 5000).astype(np.float32)
    scaling = Scaling.of(targets[:, np.newaxis])
    network = Dense(Scaling.of(values), (16,), target=scaling, seed=1)
    rows = part(values, targets)
    fit(network, rows, rows, epochs=60, patience=20, batch=64, learning_rate=0.01, seed=1,
        after_epoch=lambda number, error: None)  # fmt: skip
    found = measures(network(values).numpy(), targets, ())
    assert found["r2"] > 0.99
    assert found["rmse"] < 30


def test_a_loss_that_is_no_number_ends_it() -> None:
    values, targets = made(100, 1)
    values[0, 0] = np.nan
    network = Dense(
        Scaling(np.zeros(5, np.float32), np.ones(5, np.float32)), (4,), classes=2, seed=1
    )
    with pytest.raises(FloatingPointError, match="epoch 1"):
        fit(network, part(values, targets), part(values, targets), epochs=2, patience=1, batch=50,
            learning_rate=0.1, seed=1, after_epoch=lambda number, error: None)  # fmt: skip


def test_the_area_of_several_classes_is_the_mean_of_each_against_the_rest() -> None:
    from sklearn.metrics import roc_auc_score

    chance = np.random.default_rng(3)
    answers = chance.dirichlet(np.ones(4), 300)
    targets = chance.integers(0, 4, 300).astype(np.int32)
    expected = roc_auc_score(targets, answers, multi_class="ovr", average="macro")
    assert area(answers, targets) == pytest.approx(expected, abs=1e-12)
    assert area(answers[:, :2], targets % 2) == roc_auc_score(targets % 2, answers[:, 1])
