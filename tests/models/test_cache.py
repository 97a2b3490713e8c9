"""The cache: one opening for many askers, bounds, leases, counters, changed files."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, ModelUnreadable, SetupError
from gpfn.models import Model, ModelCache, PythonModel, default_cache, open_model
from gpfn.models.signature import Array
from gpfn.tensors.spec import TensorSpec


class Weighty:
    """A model that says how large it is and remembers being warmed up and closed."""

    backend = "python"
    inputs = (TensorSpec("float32", (None, 2), "x"),)
    outputs = (TensorSpec("float32", (None, 2), "y"),)

    def __init__(self, name: str = "m", size: int = 1) -> None:
        self.name, self.resident_bytes = name, size
        self.calls, self.closed = 0, 0

    def __call__(
        self,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, Array]:
        assert not self.closed
        self.calls += 1
        return {"y": inputs["x"]}

    def close(self) -> None:
        self.closed += 1


def test_sixteen_threads_one_opening() -> None:
    cache, opened, given = ModelCache(), [], []
    gate = threading.Barrier(16)

    def opener() -> Model:
        time.sleep(0.1)
        opened.append(Weighty())
        return opened[-1]

    def ask() -> None:
        gate.wait()
        given.append(cache.get("m", opener))

    askers = [threading.Thread(target=ask) for _ in range(16)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(opened) == 1
    assert given == opened * 16
    assert opened[0].calls == 1, "warmed up once"
    counters = cache.counters()
    assert (counters.misses, counters.hits, counters.models) == (1, 15, 1)
    assert counters.load_seconds >= 0.1
    assert 0 < counters.warmup_seconds < 0.1


def test_different_models_are_opened_side_by_side() -> None:
    cache, both = ModelCache(), threading.Barrier(2, timeout=10)

    def opener() -> Model:
        both.wait()  # passes only if the other one is being opened too
        return Weighty()

    askers = [threading.Thread(target=cache.get, args=(name, opener)) for name in "ab"]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert cache.counters().models == 2


def test_a_failure_reaches_all_who_wait_and_is_tried_again() -> None:
    cache, failures, tries = ModelCache(), [], []

    def failing() -> Model:
        tries.append(1)
        time.sleep(0.1)
        raise ModelUnreadable("broken")

    def ask() -> None:
        with pytest.raises(ModelUnreadable, match="broken") as caught:
            cache.get("m", failing)
        failures.append(caught.value)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(failures) == 8
    assert len(tries) < 8
    assert cache.counters().models == 0
    assert cache.counters().failures == len(tries)
    assert isinstance(cache.get("m", Weighty), Weighty)


def test_waiting_ends_at_the_deadline() -> None:
    cache, go = ModelCache(), threading.Event()

    def opener() -> Model:
        go.wait(10)
        return Weighty()

    first = threading.Thread(target=cache.get, args=("m", opener))
    first.start()
    time.sleep(0.02)
    with pytest.raises(DeadlineExceeded, match="still being opened"):
        cache.get("m", opener, deadline=Deadline.after(0.05))
    go.set()
    first.join()
    assert cache.counters().models == 1


def use(cache: ModelCache, model: Weighty) -> None:
    with cache.use(model.name, lambda: model):
        pass


def test_the_one_unused_for_longest_goes() -> None:
    cache = ModelCache(count=2)
    a, b, c = Weighty("a"), Weighty("b"), Weighty("c")
    for model in (a, b, a, c):
        use(cache, model)
    assert (a.closed, b.closed, c.closed) == (0, 1, 0)
    assert cache.counters().evictions == 1
    assert cache.counters().models == 2


def test_bytes_are_bounded_and_the_last_stays() -> None:
    cache = ModelCache(size=100)
    a, b, c = Weighty("a", 40), Weighty("b", 40), Weighty("c", 400)
    use(cache, a)
    use(cache, b)
    assert cache.counters().resident_bytes == 80
    use(cache, c)
    assert (a.closed, b.closed, c.closed) == (1, 1, 0)
    use(cache, c)
    assert cache.counters().hits == 1, "a model over the bound is not opened for each call"


def test_a_model_in_use_is_not_closed() -> None:
    cache = ModelCache(count=1)
    a, b = Weighty("a"), Weighty("b")
    with cache.use("a", lambda: a):
        use(cache, b)
        assert not a.closed
    assert (a.closed, b.closed) == (1, 0)


def test_a_model_that_was_got_is_kept() -> None:
    cache = ModelCache(count=1)
    kept = Weighty("kept")
    assert cache.get("kept", lambda: kept) is kept
    for name in "abc":
        use(cache, Weighty(name))
    assert not kept.closed


def test_dropping_closes_after_the_last_user() -> None:
    cache, model = ModelCache(), Weighty()
    with cache.use("m", lambda: model), cache.use("m", lambda: model):
        assert cache.drop("m")
        assert not cache.drop("m")
        assert not model.closed
    assert model.closed == 1
    use(cache, Weighty("other"))
    cache.clear()
    assert cache.counters().models == 0


def test_an_error_while_in_use_gives_the_model_back() -> None:
    cache, model = ModelCache(), Weighty()
    with pytest.raises(ZeroDivisionError), cache.use("m", lambda: model):
        raise ZeroDivisionError
    cache.drop("m")
    assert model.closed == 1


def test_many_threads_evict_and_open(made: Path) -> None:
    """Real models, opened and closed under the feet of sixteen users: no call fails."""
    cache = ModelCache(count=2)
    names = ["order.tflite", "order", "order.pb", "order.onnx"]
    answers = []

    def work(number: int) -> None:
        for turn in range(12):
            path = made / names[(number + turn) % len(names)]
            with cache.use(str(path), lambda: open_model(path)) as model:  # noqa: B023
                ones = np.ones((1, 3), np.float32)
                answers.append(model({"weights": ones, "counts": ones})["total"].tolist())

    workers = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert answers == [[3.0]] * (16 * 12)
    counters = cache.counters()
    assert counters.models <= 2
    assert counters.hits + counters.misses == 16 * 12
    assert counters.misses - counters.evictions == counters.models


def test_a_changed_file_is_opened_anew_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_text("one")
    cache, opened = ModelCache(), []

    def opener() -> Model:
        opened.append(Weighty(path.read_text()))
        return opened[-1]

    def name(watch: str = "") -> str:
        with cache.use("m", opener, watch=watch) as model:
            return model.name

    assert name(watch=str(path)) == "one"
    path.write_text("two!")
    assert name() == "one"
    assert name(watch=str(path)) == "two!"
    assert name(watch=str(path)) == "two!"
    assert [model.closed for model in opened] == [1, 0]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        name(watch=str(path))


def test_a_changed_saved_model_is_seen(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_text("one")
    cache = ModelCache()
    first = cache.get("m", Weighty, watch=str(tmp_path))
    assert cache.get("m", Weighty, watch=str(tmp_path)) is first
    (tmp_path / "saved_model.pb").write_text("two!")
    assert cache.get("m", Weighty, watch=str(tmp_path)) is not first


def test_a_model_of_a_plain_function_has_no_size() -> None:
    cache = ModelCache()
    cache.get("f", lambda: PythonModel(lambda x: x))
    assert cache.counters().resident_bytes == 0


def test_bounds_have_to_be_above_zero() -> None:
    for bounds in ({"count": 0}, {"size": 0}):
        with pytest.raises(ValueError, match="above 0"):
            ModelCache(**bounds)


def test_the_process_shares_one_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_cache() is default_cache()
    default_cache.cache_clear()
    monkeypatch.setitem(os.environ, "GPFN_MODEL_CACHE_COUNT", "many")
    with pytest.raises(SetupError) as caught:
        default_cache()
    assert caught.value.field == "GPFN_MODEL_CACHE_COUNT"
