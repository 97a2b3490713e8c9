"""A batch of events is one call of the model where that is right, and else what it was before."""

import asyncio
import base64
import gc
import time
import traceback
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpfn.call import together
from gpfn.call.callback import Callback, run_steps_async
from gpfn.call.contract import Call, Contract
from gpfn.call.pipeline import answer, answer_steps
from gpfn.deadline import NEVER, Deadline
from gpfn.errors import DeadlineExceeded, InvalidTensor, ModelFailed
from gpfn.events import Event
from gpfn.limits import Limits
from gpfn.tensors import TensorSpec
from gpfn.timestamps import epoch_seconds
from tests.call.asking import POISON, Rowwise, answered, asking, batch, each, event, events_of

LATE = "2001-01-01T00:00:00Z"
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no moment in which this process had to wait decide how many are asked together."""
    monkeypatch.setattr(together, "_SECONDS", float("inf"))
    monkeypatch.setattr(together, "_PATIENCE", float("inf"))


def told(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """Return what answers say, but for what is new in each."""
    return [
        (e.type, e.attribute("causationid"), e.datacontenttype, e.data, e.attribute("nonfinite"))
        for e in events
    ]


def warm(contract: Contract) -> None:
    """Have the first event answered, which is timed by itself, and forget that."""
    answered(contract, [event(0), event(1)])
    model: Any = contract.model
    model.calls.clear()
    model.deadlines.clear()


def test_64_events_are_one_call_once_a_row_has_been_timed() -> None:
    model = Rowwise()
    contract = asking(model)
    events = [event(number) for number in range(64)]
    first = answered(contract, events)
    assert model.calls == [1, 63]
    second = answered(contract, events)
    assert model.calls == [1, 63, 64]
    assert told(first) == told(second) == told(each(contract, events))
    assert [e.attribute("causationid") for e in second] == [f"e{number}" for number in range(64)]
    assert second[5].json() == [[10.0, 12.0, 1.0]]


def test_more_than_64_rows_are_several_calls() -> None:
    model = Rowwise()
    contract = asking(model)
    warm(contract)
    assert told(answered(contract, [event(n) for n in range(150)]))[149][1] == "e149"
    assert model.calls == [64, 64, 22]
    model.calls.clear()
    threes = [event(n, [[n, 0, 1]] * 3) for n in range(30)]
    assert told(answered(contract, threes)) == told(each(contract, threes))
    assert model.calls[:2] == [63, 27]
    model.calls.clear()
    many = [event(0), event(1, [[1, 2, 3]] * 70), event(2)]
    assert len(answered(contract, many)[1].json()) == 70  # type: ignore[arg-type] # a list
    assert model.calls == [70, 2], "what is large by itself comes first, and alone"


def test_a_call_takes_and_gives_no_more_numbers_than_the_limits_say() -> None:
    wide = Rowwise((None, 3))
    wide.outputs = (TensorSpec("float32", (None, 3), "doubled"),)
    contract = asking(wide, limits=Limits(elements=30))
    warm(contract)
    answered(contract, [event(n) for n in range(12)])
    assert wide.calls == [5, 5, 2], "of 3 numbers taken and 3 given for a row"
    large = Rowwise((None, 20_000))
    contract = asking(large)
    data = [[0.5] * 20_000]
    answered(contract, [event(n, data) for n in range(3)])
    assert large.calls == [1, 1, 1]


def test_one_event_and_a_handler_go_by_themselves() -> None:
    order: list[object] = []
    contract = asking(Rowwise())
    handled = Contract(
        **{
            **{name: getattr(contract, name) for name in contract.__slots__ if name != "joint"},
            "handler": noting(order),
        }
    )
    answers = answered(handled, [event(n) for n in range(3)])
    assert [a.json() for a in answers] == [[[n, n + 1, 0.5]] for n in range(3)]
    assert order == ["e0", "e1", "e2"]
    assert handled.joint is None
    assert answered(contract, [event(7)])[0].json() == [[14.0, 16.0, 1.0]]
    assert contract.joint is None


def noting(order: list[object]) -> Callback:
    """Return a handler that notes its events."""

    def handle(x: Array, event: Event) -> Array:
        order.append(event.id)
        return x

    return Callback(handle)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model, "backend", "python"),
        lambda model: setattr(model, "backend", "graphpipe"),
        lambda model: setattr(model, "rows_are_apart", False),
        lambda model: setattr(model, "outputs", (TensorSpec("float32", (1, 3), "doubled"),)),
    ],
)
def test_a_model_that_promises_nothing_of_its_rows_is_asked_event_by_event(change: Any) -> None:
    model = Rowwise()
    contract = asking(model)
    change(model)
    events = [event(n) for n in range(4)]
    assert [a.json() for a in answered(contract, events)] == [
        [[2.0 * n, 2.0 * n + 2, 1.0]] for n in range(4)
    ]
    assert model.calls == [1, 1, 1, 1]


def test_a_declaration_that_says_so_keeps_events_apart() -> None:
    model = Rowwise()
    answered(asking(model, together=False), [event(n) for n in range(4)])
    assert model.calls == [1, 1, 1, 1]


def test_only_outputs_that_are_the_models_own_are_taken_apart() -> None:
    """A graph gives any tensor by name: one whose first axis is time would be cut wrongly."""
    model = Rowwise()
    model.gives = lambda name: True  # type: ignore[attr-defined]
    model.compute = lambda arrays: {"inner": np.ones((4, len(arrays["x"])), np.float32)}
    contract = asking(model, output="inner")
    answers = answered(contract, [event(n) for n in range(4)])
    assert [a.json() for a in answers] == [[[1.0]] * 4] * 4
    assert model.calls == [1, 1, 1, 1]


def test_the_one_that_the_model_refuses_fails_alone() -> None:
    model = Rowwise()
    contract = asking(model)
    warm(contract)
    events = [event(n) for n in range(5)]
    events[2] = event(2, [[1, POISON, 2]])
    reply = answer(contract, batch(events), Call())
    answers = events_of(reply)
    assert [a.type for a in answers] == ["t.response", "t.response", "t.error"] + ["t.response"] * 2
    assert answers[2].json()["error"]["type"] == "model-failed"  # type: ignore[index]
    assert [type(failure) for failure in reply.failures] == [ModelFailed]
    assert model.calls == [5, 1, 1, 1, 1, 1]
    frames = traceback.extract_tb(reply.failures[0].__traceback__)
    assert frames[0].name == "predict", "the trace begins after the pipeline, as for one event"
    model.calls.clear()
    assert told(answered(contract, events[:2])) == told(answers[:2])
    assert model.calls == [2], "it goes on to be asked for several"


def test_events_that_cannot_be_read_cost_the_others_nothing() -> None:
    model = Rowwise()
    contract = asking(model)
    warm(contract)
    events = [
        event(0),
        event(1, [[1]]),
        event(2),
        event(3, "no numbers"),
        event(4, expirytime=LATE),
        event(5, expirytime="soon"),
        event(6),
    ]
    reply = answer(contract, batch(events), Call())
    answers = events_of(reply)
    assert model.calls == [3]
    kinds = [a.type if a.type == "t.response" else a.json()["error"]["type"] for a in answers]  # type: ignore[index]
    response, tensor = "t.response", "invalid-tensor"
    late, invalid = "deadline-exceeded", "invalid-event"
    assert kinds == [response, tensor, response, tensor, late, invalid, response]
    assert [error.type for error in reply.failures] == [tensor, tensor, late, invalid]  # type: ignore[attr-defined]
    assert answers[6].json() == [[12.0, 14.0, 1.0]]


def test_a_model_that_computes_no_batch_is_asked_by_itself_from_then_on() -> None:
    model = Rowwise()

    def only_one(arrays: dict[str, Array]) -> dict[str, Array]:
        if len(arrays["x"]) > 1:
            raise ModelFailed("no batch")
        return {"doubled": arrays["x"] * 2}

    model.compute = only_one
    contract = asking(model)
    warm(contract)
    events = [event(n) for n in range(4)]
    assert told(answered(contract, events)) == told(each(contract, events))
    assert model.calls[:5] == [4, 1, 1, 1, 1]
    model.calls.clear()
    answered(contract, events)
    assert model.calls == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x.sum(),
        lambda x: x[:1],
        lambda x: np.concatenate([x, x]),
        lambda x: x.T,
    ],
)
def test_an_output_of_other_rows_is_never_cut(compute: Any) -> None:
    model = Rowwise()
    model.compute = lambda arrays: {"doubled": np.asarray(compute(arrays["x"]))}
    contract = asking(model)
    events = [event(n) for n in range(5)]
    for _ in range(3):
        assert told(answered(contract, events)) == told(each(contract, events))
    assert 5 in model.calls or 4 in model.calls, "it was tried"
    assert model.calls.count(5) + model.calls.count(4) == 1, "once"


def test_events_of_other_shapes_and_kinds_are_grouped() -> None:
    model = Rowwise((None, None))
    contract = asking(model)
    warm(contract)
    events = [event(n, [[n] * (2 + n % 2)]) for n in range(10)]
    assert told(answered(contract, events)) == told(each(contract, events))
    assert model.calls[:2] == [5, 5]
    made = iter([np.float32, np.float64, np.int16, np.float32, np.float64, np.int16] * 2)
    mixed = asking(model, before=lambda x: x.astype(next(made)))
    warm_up = [event(0), event(1)]
    made = iter([np.float32] * 2 + [np.float32, np.float64, np.int16] * 4)
    answered(mixed, warm_up)
    model.calls.clear()
    found = answered(mixed, [event(n, [[n, n]]) for n in range(6)])
    assert model.calls == [2, 2, 2]
    assert [a.json() for a in found] == [[[2 * n, 2 * n]] for n in range(6)]


def test_strings_objects_and_arrays_without_rows_go_by_themselves() -> None:
    texts = Rowwise((None, 1), dtype="string")
    texts.compute = lambda arrays: {"doubled": arrays["x"] + arrays["x"]}
    contract = asking(texts)
    answers = answered(contract, [event(n, [[f"a{n}"]]) for n in range(3)])
    assert [a.json() for a in answers] == [[[f"a{n}a{n}"]] for n in range(3)]
    assert texts.calls == [1, 1, 1]
    model = Rowwise()
    spellings: list[Any] = [
        np.ma.masked_array,
        lambda x: x[:0],
        lambda x: x[0, 0],
        lambda x: x.tolist(),
        lambda x: x.astype(complex),
        lambda x: [],
        lambda x: {},
        lambda x: None,
    ]
    for spelling in spellings:
        contract = asking(model, before=spelling, specs=[TensorSpec("float32", (None, 3), "x")])
        assert told(answered(contract, [event(1)] * 3))[:1] == told(each(contract, [event(1)]))
        assert set(model.calls) <= {1, 0, -1, 3}
        model.calls.clear()


@pytest.mark.parametrize(
    "spelled",
    [
        lambda x, y: {"x": x, "y": y},
        lambda x, y: {"y": y, "x": x},
        lambda x, y: (x, y),
        lambda x, y: [x, y],
        lambda x, y: {"x": x[::-1], "y": y[:, ::-1]},
        lambda x, y: (np.asfortranarray(x), np.broadcast_to(y[:1], y.shape)),
        lambda x, y: {"x": x.astype(">f4"), "y": y},
    ],
)
def test_several_arrays_by_name_or_in_order(spelled: Any) -> None:
    model = Rowwise((None, 3), (None, 3))
    contract = asking(model, before=spelled)
    data = [{"x": [[n, 1, 2]] * 2, "y": [[5, n, 7], [n, n, 1]]} for n in range(6)]
    events = [event(n, rows) for n, rows in enumerate(data)]
    answered(contract, events[:2])
    model.calls.clear()
    found = answered(contract, events)
    assert model.calls == [12]
    assert told(found) == told(each(contract, events))


def test_arrays_of_other_rows_than_each_other_go_by_themselves() -> None:
    model = Rowwise((None, 3), (None, 3))
    contract = asking(model, before=lambda x, y: {"x": x, "y": y[:1]})
    data = {"x": [[1, 2, 3]] * 2, "y": [[4, 5, 6]] * 2}
    answered(contract, [event(n, data) for n in range(3)])
    assert model.calls == [2, 2, 2]


def test_what_before_uses_again_for_the_next_event_is_not_mixed_up() -> None:
    scratch = np.zeros((1, 3), np.float32)

    def before(x: Array) -> Array:
        scratch[:] = x
        return scratch

    model = Rowwise()
    contract = asking(model, before=before)
    warm(contract)
    answers = answered(contract, [event(n) for n in range(8)])
    assert model.calls == [8]
    assert [a.json() for a in answers] == [[[2.0 * n, 2.0 * n + 2, 1.0]] for n in range(8)]


def test_what_after_changes_in_place_is_its_own_events() -> None:
    def after(doubled: Array, event: Event) -> Array:
        doubled[:] += int(event.id[1:])
        return doubled

    model = Rowwise()
    contract = asking(model, after=after)
    events = [event(n, [[0, 0, 0]]) for n in range(8)]
    answered(contract, events)
    assert [a.json() for a in answered(contract, events)] == [[[n, n, n]] for n in range(8)]


def test_steps_of_an_event_that_fail_before_and_after_fail_alone() -> None:
    def before(x: Array, event: Event) -> Array:
        if event.id == "e1":
            raise KeyError("before")
        if event.id == "e2":
            raise SystemExit(2)
        return x

    def after(doubled: Array, event: Event) -> Array:
        if event.id == "e3":
            raise InvalidTensor("after", field="data")
        if event.id == "e4":
            raise SystemExit(4)
        return doubled

    model = Rowwise()
    contract = asking(model, before=before, after=after)
    warm(asking(model, before=before, after=after))
    answered(contract, [event(0)] * 2)
    model.calls.clear()
    reply = answer(contract, batch([event(n) for n in range(6)]), Call())
    assert model.calls == [4]
    assert [type(error) for error in reply.failures] == [
        KeyError,
        SystemExit,
        InvalidTensor,
        SystemExit,
    ]
    assert [a.type for a in events_of(reply)] == [
        "t.response",
        *["t.error"] * 4,
        "t.response",
    ]
    names = [traceback.extract_tb(error.__traceback__)[0].name for error in reply.failures]
    assert names == ["before", "before", "after", "after"]


def test_async_steps_in_a_thread_and_in_a_loop() -> None:
    async def before(x: Array) -> Array:
        await asyncio.sleep(0)
        return x + 1

    async def after(doubled: Array, event: Event) -> object:
        await asyncio.sleep(0)
        if event.id == "e2":
            raise ValueError("after")
        return {"id": event.id, "is": doubled}

    model = Rowwise()
    contract = asking(model, before=before, after=after)
    message = batch([event(n, [[n, n, n]]) for n in range(5)])
    answer(contract, message, Call())

    async def in_a_loop() -> Any:
        return await run_steps_async(answer_steps(contract, message, Call()), NEVER)

    for reply in (answer(contract, message, Call()), asyncio.run(in_a_loop())):
        assert model.calls.pop() == 5
        answers = events_of(reply)
        assert answers[4].json() == {"id": "e4", "is": [[10.0, 10.0, 10.0]]}
        assert [type(error) for error in reply.failures] == [ValueError]


def test_a_batch_that_is_cancelled_leaves_nothing_behind() -> None:
    begun = asyncio.Event()

    async def before(x: Array, event: Event) -> Array:
        if event.id == "e3":
            begun.set()
            await asyncio.sleep(60)
        return x

    model = Rowwise()
    contract = asking(model, before=before)
    warm(contract)

    async def cancelled() -> None:
        steps = answer_steps(contract, batch([event(n) for n in range(5)]), Call())
        task = asyncio.create_task(run_steps_async(steps, NEVER))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert model.calls == []
    answers = answered(contract, [event(n) for n in range(3)])
    assert model.calls == [3]
    assert answers[2].json() == [[4.0, 6.0, 1.0]]


def test_one_that_becomes_late_while_it_waits_makes_no_other_late() -> None:
    soon = time.time() + 0.2
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(soon)) + f"{soon % 1:.6f}Z"[1:]

    def before(x: Array, event: Event) -> Array:
        if event.id == "e2":
            time.sleep(max(0.0, soon + 0.1 - time.time()))
        return x

    model = Rowwise()
    contract = asking(model, before=before)
    warm(contract)
    events = [event(0), event(1, expirytime=stamp), event(2)]
    deadline = Deadline.after(60)
    reply = answer(contract, batch(events), Call(deadline=deadline))
    assert [type(error) for error in reply.failures] == [DeadlineExceeded]
    assert [a.type for a in events_of(reply)] == ["t.response", "t.error", "t.response"]
    assert model.calls == [2]
    assert model.deadlines == [deadline], "an expiry of its own cuts off no other"


def test_the_deadline_of_those_asked_together_is_the_latest_of_theirs() -> None:
    near, far = "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"
    until = epoch_seconds(far) - time.time()
    model = Rowwise()
    contract = asking(model)
    warm(contract)
    answered(contract, [event(0, expirytime=near), event(1, expirytime=far)])
    (deadline,) = model.deadlines
    assert model.calls == [2]
    assert abs(deadline.remaining() - until) < 60


def test_the_calls_deadline_is_everyones() -> None:
    model = Rowwise()
    contract = asking(model, before=lambda x: time.sleep(0.02) or x)
    reply = answer(
        contract, batch([event(n) for n in range(4)]), Call(deadline=Deadline.after(0.05))
    )
    assert {type(error) for error in reply.failures} == {DeadlineExceeded}
    assert len(events_of(reply)) == 4


def test_what_waits_does_not_wait_long_for_data_that_take_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "_PATIENCE", 0.0)
    model = Rowwise()
    contract = asking(model)
    warm(contract)
    events = [event(n) for n in range(4)]
    assert told(answered(contract, events)) == told(each(contract, events))
    assert model.calls[:4] == [1, 1, 1, 1]


def test_a_slow_model_gains_nothing_and_is_asked_event_by_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "_SECONDS", 0.02)
    model = Rowwise()
    slow = model.compute
    model.compute = lambda arrays: time.sleep(0.02) or slow(arrays)  # type: ignore[func-returns-value]
    contract = asking(model)
    for _ in range(2):
        answered(contract, [event(n) for n in range(3)])
    assert model.calls == [1] * 6
    model.compute = slow  # what was in its way is gone
    answered(contract, [event(n) for n in range(3)])
    model.calls.clear()
    answered(contract, [event(n) for n in range(3)])
    assert model.calls == [3]


def test_stages_are_those_of_a_call() -> None:
    contract = asking(Rowwise(), before=lambda x: x, after=lambda doubled: doubled)
    warm(contract)
    reply = answer(contract, batch([event(n) for n in range(4)]), Call())
    names = [name for name, _ in reply.stages]
    assert names == ["decode", "before", "predict", "after", "encode"]
    assert all(seconds >= 0 for _, seconds in reply.stages)


def test_the_prediction_of_all_is_timed_as_one_stage() -> None:
    model = Rowwise()
    compute = model.compute
    contract = asking(model)
    warm(contract)
    model.compute = lambda arrays: time.sleep(0.05) or compute(arrays)  # type: ignore[func-returns-value]
    stages = dict(answer(contract, batch([event(n) for n in range(4)]), Call()).stages)
    assert stages["predict"] >= 0.05


def test_failures_that_are_released_leave_nothing_to_the_collector() -> None:
    class Big(np.ndarray):
        """An array that can be watched."""

    made: list[weakref.ref[Any]] = []

    def before(x: Array) -> Array:
        big = np.zeros(1000).view(Big)
        made.append(weakref.ref(big))
        if x[0, 0] == 2:
            raise ValueError("this one")
        return x + big[0]

    model = Rowwise()
    contract = asking(model, before=before)
    events = [event(n) for n in range(4)]
    events[3] = event(3, [[POISON, 0, 0]])
    answered(contract, events)
    gc.collect()
    gc.disable()
    try:
        made.clear()
        reply = answer(contract, batch(events), Call())
        assert len(reply.failures) == 2
        reply.release()
        del reply
        assert [ref() for ref in made] == [None] * 4
    finally:
        gc.enable()


def test_other_forms_of_data_stay_as_they_were_asked() -> None:
    model = Rowwise()
    contract = asking(model)
    warm(contract)
    raw = np.array([[1, 2, 3]], np.float32).tobytes()
    text = base64.b64encode(raw).decode()
    octets = {"datacontenttype": "application/octet-stream", "dtype": "float32", "shape": "1,3"}
    first = {**event(0), **octets, "data_base64": text}
    del first["data"]
    named = event(1, {"x": [[1, 2, 3]]})
    plain = event(2)
    answers = answered(contract, [first, named, plain])
    assert model.calls == [3]
    assert answers[0].data == (np.frombuffer(raw, np.float32) * 2).tobytes()
    assert told(answers) == told(each(contract, [first, named, plain]))


def test_rows_of_nothing_are_rows() -> None:
    model = Rowwise((None, None))
    model.outputs = (TensorSpec("float32", (None, 0), "doubled"),)
    contract = asking(model, before=lambda x: x[:, :0])
    events = [event(n) for n in range(4)]
    for calls in ([1, 3], [4]):
        assert [a.json() for a in answered(contract, events)] == [[[]]] * 4
        assert model.calls == calls
        model.calls.clear()


def test_nonfinite_answers_are_told_by_the_event_that_has_them() -> None:
    model = Rowwise()
    model.compute = lambda arrays: {"doubled": np.log(arrays["x"] - 1)}
    contract = asking(model)
    events = [event(0, [[2, 2, 2]]), event(1, [[1, 2, 2]]), event(2, [[2, 2, 3]])]
    with np.errstate(all="ignore"):
        answered(contract, events)
        answers = answered(contract, events)
    assert 3 in model.calls
    assert [a.attribute("nonfinite") for a in answers] == [None, True, None]


KINDS = st.sampled_from(
    [
        "one",
        "one",
        "one",
        "two",
        "wide",
        "poison",
        "ragged",
        "text",
        "late",
        "empty",
        "hollow",
        "float",
    ]
)


def of_kind(kind: str, number: int) -> dict[str, object]:
    """Return an event that is right or wrong in its own way."""
    data: dict[str, object] = {
        "one": [[number, 1, 2]],
        "two": [[number, 1, 2], [3, 4, number]],
        "wide": [[number, 1, 2, 3, 4]],
        "poison": [[number, POISON, 1]],
        "ragged": [[1, 2], [3]],
        "text": "text",
        "late": [[1, 2, 3]],
        "empty": [],
        "hollow": [[]],
        "float": [[number + 0.1, 1e-30, 1e30]],
    }
    more = {"expirytime": LATE} if kind == "late" else {}
    return event(number, data[kind], **more)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(KINDS, max_size=40).map(lambda kinds: [*kinds, "one"]),
    elements=st.integers(12, 400),
    batches=st.integers(1, 2),
)
def test_a_batch_answers_what_its_events_answer_alone(
    kinds: list[str], elements: int, batches: int
) -> None:
    model = Rowwise((None, None))
    contract = asking(model, limits=Limits(elements=elements))
    events = [of_kind(kind, number) for number, kind in enumerate(kinds)]
    alone = told(each(contract, events))
    asked = len(model.calls)
    model.calls.clear()
    for _ in range(batches):
        assert without_times(told(answered(contract, events))) == without_times(alone)
    good = kinds.count("one")
    if good > 8 and elements > 300 and "poison" not in kinds:
        assert len(model.calls) < asked * batches, "some were asked together"


def without_times(answers: list[tuple[object, ...]]) -> list[object]:
    """Return answers without how late one was."""
    return [
        (a[:3], "deadline") if b"deadline-exceeded" in (a[3] or b"") else a  # type: ignore[operator]
        for a in answers
    ]


def test_a_question_is_answered_by_nothing_but_its_batch() -> None:
    contract = asking(Rowwise())
    joint = together.joint_of(contract)
    assert joint is not None
    assert joint is together.joint_of(contract)
    value = {"x": np.ones((1, 3), np.float32)}
    assert isinstance(joint.ask(value, NEVER), dict)
    question = joint.ask(value, NEVER)
    assert isinstance(question, together.Question)

    async def wait() -> None:
        await question

    with pytest.raises(TypeError, match="batch"):
        asyncio.run(wait())


def test_the_message_of_a_batch_is_json_of_the_events() -> None:
    contract = asking(Rowwise())
    reply = answer(contract, batch([event(n) for n in range(3)]), Call())
    assert reply.is_json
    assert [e["causationid"] for e in orjson.loads(reply.message.body)] == ["e0", "e1", "e2"]
