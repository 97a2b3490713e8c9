"""The engine on a real loop: what is computed together, by whom, and what goes wrong alone."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, ModelFailed, Overloaded
from gpfn.serving.engine import Engine, EngineSettings, Inference, Timing
from gpfn.serving.engine.inference import Abandoned
from gpfn.serving.statistics import Slots, Statistics, new_metrics
from gpfn.tensors.spec import TensorSpec

QUICK = Timing({1: 1e-5, 2: 1e-5, 4: 1e-5, 8: 1e-5}, (1, 2, 4, 8), 2)


class Rows:
    """y = 2x + the number of the call in z; notes how many rows came and on which thread."""

    name = "rows"
    backend = "litert"
    inputs = (TensorSpec("float32", (None, 2), "x"),)
    outputs = (TensorSpec("float32", (None, 2), "y"), TensorSpec("int64", (None,), "z"))

    def __init__(self, inside: Callable[[np.ndarray], None] = lambda _: None) -> None:
        self.calls: list[int] = []
        self.threads: list[str] = []
        self.inside = inside

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        x = inputs["x"]
        self.calls.append(len(x))
        self.threads.append(threading.current_thread().name)
        self.inside(x)
        every = {"y": x * 2, "z": np.arange(len(x))}
        return {name: every[name] for name in outputs or every}

    def close(self) -> None:
        """Nothing to close."""


class Asked:
    """What became of a request."""

    def __init__(self, x: object, outputs: Sequence[str] = (), deadline: Deadline = NEVER) -> None:
        self.gone = False
        self.timings = None
        self.hops = 0
        self.results: Any = None
        self.error: BaseException | None = None
        self.told = 0
        array = np.asarray(x, np.float32)
        self.inference = Inference({"x": array}, outputs, deadline, self.done, self)

    def done(self, results: Any, error: BaseException | None) -> None:
        self.results, self.error = results, error
        self.told += 1

    @property
    def y(self) -> object:
        return self.results["y"].tolist()


def statistics() -> Statistics:
    return Slots(new_metrics()).statistics(0)


def engine(model: object, timing: Timing = QUICK, **settings: Any) -> Engine:
    chosen = EngineSettings(**{"max_batch": 8, **settings})
    return Engine(model, timing, chosen, statistics())  # type: ignore[arg-type]


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def test_what_comes_in_one_turn_is_computed_together() -> None:
    model = Rows()

    async def work() -> None:
        one = engine(model)
        asked = [Asked([[n, n]] * (n + 1)) for n in range(3)]
        for each in asked:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert [each.y for each in asked] == [[[2 * n, 2 * n]] * (n + 1) for n in range(3)]
        assert [each.results["z"].tolist() for each in asked] == [[0], [1, 2], [3, 4, 5]]
        assert model.calls == [6], "1, 2 and 3 rows; and nothing is filled up, as it has no sizes"

    run(work)
    assert model.threads == ["MainThread"]


def test_a_prepared_size_is_filled_up_and_nobody_sees_it() -> None:
    class Prepared(Rows):
        def keep_shapes(self, count: int) -> None:
            """Sizes are prepared."""

    model = Prepared()

    async def work() -> None:
        one = engine(model)
        asked = [Asked([[n, n]]) for n in range(3)]
        for each in asked:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert [each.y for each in asked] == [[[2 * n, 2 * n]] for n in range(3)]

    run(work)
    assert model.calls == [4]


def test_no_call_has_more_rows_than_may_be() -> None:
    model = Rows()

    async def work() -> None:
        one = engine(model)
        asked = [Asked([[n, n]] * 3) for n in range(5)]
        for each in asked:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert [each.y for each in asked] == [[[2 * n, 2 * n]] * 3 for n in range(5)]

    run(work)
    assert sum(model.calls) == 15
    assert max(model.calls) <= 8


def test_a_large_request_is_computed_in_parts() -> None:
    model = Rows()

    async def work() -> None:
        x = np.arange(40, dtype=np.float32).reshape(20, 2)
        asked = Asked(x)
        engine(model).submit(asked.inference)
        while not asked.told:
            await asyncio.sleep(0.001)
        np.testing.assert_array_equal(asked.results["y"], x * 2)

    run(work)
    assert model.calls == [8, 8, 4]


def test_only_what_is_asked_for_alike_is_computed_together() -> None:
    model = Rows()

    async def work() -> None:
        one = engine(model)
        asked = [Asked([[n, n]], outputs) for n, outputs in enumerate([["y"], ["z"], ["y"]])]
        for each in asked:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert [list(each.results) for each in asked] == [["y"], ["z"], ["y"]]

    run(work)
    assert model.calls == [2, 1]


def test_tensors_that_are_no_outputs_are_computed_whole() -> None:
    """A graph gives any tensor by its name: one whose first axis is time is never cut into rows."""

    class Graph(Rows):
        def __call__(self, inputs: Mapping[str, np.ndarray], **asked: Any) -> dict[str, np.ndarray]:
            given = super().__call__(inputs)
            inner = {"inner": np.stack([given["y"][:, 0]] * 4)}
            return {name: {**given, **inner}[name.removesuffix(":0")] for name in asked["outputs"]}

    model = Graph()
    inner = [Asked([[n, n]] * rows, ["inner"]) for n, rows in ((1, 1), (2, 1), (3, 2), (4, 20))]
    own = [Asked([[n, n]], ["y:0"]) for n in range(2)]

    async def work() -> None:
        one = engine(model)
        for each in (*inner, *own):
            one.submit(each.inference)
        await one.drain()

    run(work)
    for n, asked in enumerate(inner, 1):
        rows = asked.inference.rows
        assert asked.results["inner"].tolist() == [[2.0 * n] * rows] * 4
    assert [asked.results["y:0"].tolist() for asked in own] == [[[0.0, 0.0]], [[2.0, 2.0]]]
    assert sorted(model.calls) == [1, 1, 2, 2, 20], "the last two together, large ones in a thread"


def test_one_that_is_to_blame_fails_alone() -> None:
    def refuse(x: np.ndarray) -> None:
        if (x < 0).any():
            raise InvalidTensor("below 0", field="x")

    async def work() -> None:
        one = engine(Rows(refuse))
        asked = [Asked([[n, n]]) for n in (1, -1, 2)]
        for each in asked:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert [asked[0].y, asked[2].y] == [[[2, 2]], [[4, 4]]]
        assert isinstance(asked[1].error, InvalidTensor)
        bad = Asked([[1, 2, 3]])
        with pytest.raises(InvalidTensor):
            one.submit(bad.inference)

    run(work)


@pytest.mark.parametrize("rows", [slice(None, -1), slice(None, 0)])
def test_other_rows_than_were_given_fail_loudly(rows: slice) -> None:
    class Short(Rows):
        def __call__(self, inputs: Any, **options: Any) -> dict[str, np.ndarray]:
            return {"y": (inputs["x"] * 2)[rows]}

    async def work() -> None:
        one = engine(Short())
        asked = [Asked([[n, n]]) for n in range(3)]
        for each in asked:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert all(isinstance(each.error, ModelFailed) for each in asked)
        assert all(each.results is None for each in asked)
        alone = Asked([[1, 1], [2, 2]])
        one.submit(alone.inference)
        await asyncio.sleep(0)
        assert isinstance(alone.error, ModelFailed)
        assert alone.results is None

    run(work)


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(3), MemoryError()])
def test_whatever_a_model_raises_the_engine_goes_on(error: BaseException) -> None:
    model = Rows()

    def fail(x: np.ndarray) -> None:
        if x[0, 0] == 7:
            raise error

    model.inside = fail

    async def work() -> None:
        one = engine(model)
        asked = [Asked([[7, 7]]), Asked([[1, 1]])]
        one.submit(asked[0].inference)
        await asyncio.sleep(0)
        one.submit(asked[1].inference)
        await asyncio.sleep(0)
        assert asked[0].error is error
        assert asked[1].y == [[2, 2]]

    run(work)


def test_who_has_left_or_is_too_late_is_not_computed() -> None:
    model = Rows()

    async def work() -> None:
        one = engine(model)
        left, late, well = Asked([[1, 1]]), Asked([[2, 2]], deadline=Deadline(0.0)), Asked([[3, 3]])
        for each in (left, late, well):
            one.submit(each.inference)
        left.gone = True
        await asyncio.sleep(0)
        assert (left.told, late.told, well.told) == (0, 1, 1)
        assert isinstance(late.error, DeadlineExceeded)
        assert one.load == 0

    run(work)
    assert model.calls == [1]


SLOW = Timing({1: 0.02, 2: 0.02, 4: 0.02, 8: 0.02}, (1, 2, 4, 8), 2)


def test_what_waits_for_a_busy_thread_is_then_computed_together() -> None:
    model = Rows(lambda _: time.sleep(0.02))

    async def work() -> None:
        one = engine(model, SLOW, replicas=1)
        asked = [Asked([[n, n]]) for n in range(9)]
        one.submit(asked[0].inference)
        await asyncio.sleep(0.005)
        for each in asked[1:]:
            one.submit(each.inference)
        await one.drain()
        assert [each.y for each in asked] == [[[2 * n, 2 * n]] for n in range(9)]

    run(work)
    assert model.calls == [1, 8]
    assert "MainThread" not in model.threads


def test_a_full_queue_is_told_at_once_and_the_rest_is_answered() -> None:
    model = Rows(lambda _: time.sleep(0.05))

    async def work() -> None:
        one = engine(model, SLOW, replicas=1, queue=5, max_batch=0)
        asked, refused = [], 0
        for n in range(50):
            each = Asked([[n, n]])
            try:
                one.submit(each.inference)
                asked.append(each)
            except Overloaded:
                refused += 1
        assert refused == 44
        await one.drain()
        assert all(each.told == 1 and each.error is None for each in asked)

    run(work)


def test_a_deadline_that_passes_while_it_is_computed_is_told_in_time() -> None:
    async def work() -> None:
        one = engine(Rows(lambda _: time.sleep(0.4)), SLOW, replicas=1)
        began = time.monotonic()
        running = Asked([[1, 1]], deadline=Deadline.after(0.1))
        waiting = Asked([[2, 2]], deadline=Deadline.after(0.1))
        one.submit(running.inference)
        await asyncio.sleep(0.01)
        one.submit(waiting.inference)
        while not (running.told and waiting.told):
            await asyncio.sleep(0.01)
        assert time.monotonic() - began < 0.3
        assert isinstance(running.error, DeadlineExceeded)
        assert isinstance(waiting.error, DeadlineExceeded)
        await one.drain()
        assert (running.told, waiting.told) == (1, 1)

    run(work)


def test_a_delay_waits_for_others_but_not_for_more_than_a_batch() -> None:
    model = Rows()

    async def work() -> None:
        one = engine(model, max_delay=0.05, max_batch=4)
        asked = [Asked([[n, n]]) for n in range(3)]
        for each in asked:
            one.submit(each.inference)
            await asyncio.sleep(0.002)
        assert not any(each.told for each in asked)
        one.submit(Asked([[9, 9]]).inference)
        await asyncio.sleep(0.002)
        assert all(each.told for each in asked)

    run(work)
    assert model.calls == [4]


def test_a_call_that_hangs_is_noticed_and_another_model_takes_over() -> None:
    release = threading.Event()
    hanging, noticed = Rows(lambda _: release.wait(20) and None), []

    async def work() -> None:
        settings = EngineSettings(8, replicas=1, hang_seconds=0.1)
        one = Engine(hanging, SLOW, settings, statistics(), on_hang=lambda: noticed.append(1))
        first = Asked([[1, 1]], deadline=Deadline.after(0.05))
        one.submit(first.inference)
        while not noticed:
            await asyncio.sleep(0.01)
        one.replace(Rows())
        second = Asked([[2, 2]])
        one.submit(second.inference)
        await one.drain()
        assert second.y == [[4, 4]]
        release.set()
        await asyncio.sleep(0.1)
        assert first.told == 1

    run(work)
    assert noticed == [1]


def test_many_that_leave_while_they_wait_leave_nothing_behind() -> None:
    model = Rows(lambda _: time.sleep(0.01))

    async def work() -> None:
        one = engine(model, SLOW, replicas=1, queue=1000)
        asked = [Asked([[n, n]]) for n in range(100)]
        for each in asked:
            one.submit(each.inference)
        for each in asked:
            each.gone = True
        last = Asked([[1, 1]])
        one.submit(last.inference)
        began = time.monotonic()
        await one.drain()
        assert time.monotonic() - began < 1
        assert last.y == [[2, 2]]
        assert one.load == 0

    run(work)


def test_who_leaves_in_the_middle_is_not_computed_and_the_others_are() -> None:
    asked: list[Asked] = []

    def inside(x: np.ndarray) -> None:
        if len(x) > 1:
            asked[1].gone = True
            raise ValueError("no batches")

    model = Rows(inside)

    async def work() -> None:
        one = engine(model)
        asked.extend(Asked([[n, n]]) for n in range(3))
        for each in asked:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert [each.told for each in asked] == [1, 1, 1]
        assert isinstance(asked[1].error, Abandoned)
        assert asked[2].y == [[4, 4]]
        assert model.calls == [3, 1, 1]

    run(work)


def test_a_request_of_no_rows_ends_no_batches() -> None:
    """A batch whose last request is empty is filled up with a row of another one."""

    class Prepared(Rows):
        def keep_shapes(self, count: int) -> None:
            """Sizes are prepared."""

    model = Prepared()

    async def work() -> None:
        one = engine(model)
        for _ in range(2):
            asked = [Asked([[n, n]] * n if n else np.zeros((0, 2))) for n in (1, 2, 0)]
            for each in asked:
                one.submit(each.inference)
            await asyncio.sleep(0)
            assert [each.y for each in asked] == [[[2, 2]], [[4, 4]] * 2, []]
        assert model.calls == [4, 4], "each time one call"
        nothing = [Asked(np.zeros((0, 2))) for _ in range(2)]
        for each in nothing:
            one.submit(each.inference)
        await asyncio.sleep(0)
        assert [each.y for each in nothing] == [[], []]

    run(work)


def test_who_has_left_is_counted_as_that_and_nobody_twice() -> None:
    counted = statistics()

    async def work() -> None:
        goes_on = threading.Event()

        def inside(_: np.ndarray) -> None:
            goes_on.wait(10)

        chosen = EngineSettings(8)
        one = Engine(Rows(inside), Timing(), chosen, counted)
        late = Asked([[1, 1]], deadline=Deadline.after(0.1))
        one.submit(late.inference)
        while not late.told:
            await asyncio.sleep(0.01)
        goes_on.set()
        await one.drain()
        left = Asked([[1, 1]])
        one.submit(left.inference)
        left.gone = True
        await one.drain()

    run(work)
    assert {name: counted.total(name) for name in ("deadline", "cancelled", "success")} == {
        "deadline": 1,
        "cancelled": 1,
        "success": 0,
    }


def test_an_error_keeps_nothing_that_it_came_from() -> None:
    """No cycle of a trace, a frame and a request: it would keep the arrays until some day."""
    import gc
    import weakref

    def fails(_: np.ndarray) -> None:
        raise ValueError("no")

    kept: list[weakref.ref[Any]] = []

    async def work() -> None:
        for timing in (QUICK, Timing()):
            one = engine(Rows(fails), timing)
            asked = [Asked([[n, n]]) for n in range(3)]
            for each in asked:
                one.submit(each.inference)
            await one.drain()
            assert all(isinstance(each.error, ValueError) for each in asked)
            for each in asked:
                kept.append(weakref.ref(each.inference.inputs["x"]))
                each.error = None
                del each.inference  # which holds who has asked

    gc.collect()
    gc.disable()
    try:
        run(work)
        assert all(one() is None for one in kept)
    finally:
        gc.enable()


def test_one_model_does_not_keep_the_loop_to_itself() -> None:
    """What cannot be computed together is computed for a while; then others have a turn."""
    single = Timing({1: 1e-3}, (), 2)
    between: list[int] = []

    async def work() -> None:
        one = engine(Rows(lambda _: time.sleep(0.001)), single)
        asked = [Asked([[n, n]]) for n in range(40)]
        for each in asked:
            one.submit(each.inference)
        while not asked[-1].told:
            await asyncio.sleep(0)
            between.append(sum(each.told for each in asked))
        assert [each.y for each in asked] == [[[2 * n, 2 * n]] for n in range(40)]

    run(work)
    assert max(b - a for a, b in zip([0, *between], between, strict=False)) <= 8
