"""A pipeline is a model: what it takes and gives, what it computes, what becomes of failures."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.deadline import Deadline
from gpfn.errors import (
    BackendTimeout,
    BrokenReply,
    CallerError,
    CannotConnect,
    DeadlineExceeded,
    GpfnError,
    InvalidTensor,
    MissingExtra,
    ModelFailed,
    Overloaded,
    RefusedByModel,
    SetupError,
    TooLarge,
)
from gpfn.models.pipeline import Origin, Pipeline, Stage
from gpfn.scope import SCOPE, CallScope
from tests.models.pipeline.stages import Step, double, failing, numbers, plus_one, slow

X = numbers([0, 1], [2, 3])


def test_two_stages_in_a_line():
    pipeline = Pipeline([Stage("multiply", double()), Stage("add", plus_one())])
    assert pipeline({"x": X})["y"].tolist() == [[1, 3], [5, 7]]
    assert [spec.name for spec in pipeline.inputs] == ["x"]
    assert [spec.name for spec in pipeline.outputs] == ["y"]
    assert not pipeline.waits


def test_lists_are_arrays_and_what_is_masked_is_refused():
    pipeline = Pipeline([Stage("multiply", double()), Stage("add", plus_one())])
    assert pipeline({"x": [[0, 1], [2, 3]]})["y"].tolist() == [[1, 3], [5, 7]]
    with pytest.raises(InvalidTensor, match="masked") as caught:
        pipeline({"x": np.ma.masked_array(X, X > 1)})
    assert caught.value.field == "x"


def test_what_each_stage_gives_can_be_seen():
    seen: list[tuple[str, object]] = []
    pipeline = Pipeline([Stage("multiply", double()), Stage("add", plus_one())])
    pipeline.run({"x": X}, seen=lambda name, arrays: seen.append((name, arrays["y"].tolist())))
    assert seen == [("multiply", [[0, 2], [4, 6]]), ("add", [[1, 3], [5, 7]])]


def test_what_a_stage_does_not_take_is_answered_beside():
    first = Step(lambda x: {"image": 2 * x, "problems": -x}, gives=("image", "problems"))
    second = Step(lambda pixels: {"scores": pixels + 1}, takes=("pixels",), gives=("scores",))
    pipeline = Pipeline([Stage("prepare", first), Stage("model", second)])
    found = pipeline({"x": X})
    assert [*found] == ["scores", "problems"] == [spec.name for spec in pipeline.outputs]
    assert found["problems"].tolist() == (-X).tolist()
    assert [*pipeline({"x": X}, outputs=["problems"])] == ["problems"]


def test_two_outputs_of_one_name_are_refused_with_the_cure():
    first = Step(lambda x: {"image": x, "y": -x}, gives=("image", "y"))
    with pytest.raises(SetupError, match="y is given by prepare and by model; say which"):
        Pipeline([Stage("prepare", first), Stage("model", double())])({"x": X})
    named = Pipeline(
        [Stage("a", first), Stage("b", double(), {"x": Origin("a", "image")})],
        outputs={"mine": Origin("b", "y"), "its": Origin("a", "y")},
    )
    found = named({"x": X})
    assert found["mine"].tolist() == (2 * X).tolist()
    assert found["its"].tolist() == (-X).tolist()


def test_a_join_of_two_branches():
    join = Step(lambda a, b: {"y": a * b}, takes=("a", "b"))
    pipeline = Pipeline(
        [
            Stage("multiply", double(), "inputs"),
            Stage("add", plus_one(), "inputs"),
            Stage("join", join, {"a": Origin("multiply", "y"), "b": Origin("add")}),
        ]
    )
    assert pipeline({"x": X})["y"].tolist() == (2 * X * (X + 1)).tolist()
    assert [spec.name for spec in pipeline.inputs] == ["x"]


def test_inputs_of_several_stages_go_to_those_that_take_them():
    left, right = double(), Step(lambda z: {"w": -z}, takes=("z",), gives=("w",))
    pipeline = Pipeline(
        [Stage("left", left, "inputs"), Stage("right", right, "inputs")],
        outputs={"y": Origin("left"), "w": Origin("right", "w")},
    )
    found = pipeline({"x": X, "z": X})
    assert found["y"].tolist() == (2 * X).tolist()
    assert found["w"].tolist() == (-X).tolist()
    with pytest.raises(InvalidTensor, match="unknown input; the pipeline takes x, z"):
        pipeline({"x": X, "q": X})


def test_an_input_may_go_past_a_stage():
    late = Step(lambda y, scale: {"z": y * scale}, takes=("y", "scale"), gives=("z",))
    pipeline = Pipeline(
        [
            Stage("first", double(), {"x": Origin("inputs", "data")}),
            Stage("late", late, {"y": Origin("first"), "scale": Origin("inputs", "scale")}),
        ]
    )
    assert [spec.name for spec in pipeline.inputs] == ["data", "scale"]
    found = pipeline({"data": X, "scale": numbers([10, 10], [10, 10])})
    assert found["z"].tolist() == (20 * X).tolist()
    with pytest.raises(InvalidTensor, match="missing input of the stage late") as caught:
        pipeline({"data": X})
    assert caught.value.field == "scale"


def test_only_the_outputs_that_are_used_are_asked_for():
    many = Step(lambda x: {"y": x, "z": x, "big": x}, gives=("y", "z", "big"))
    pipeline = Pipeline([Stage("many", many), Stage("add", plus_one(), {"x": Origin("many", "z")})])
    pipeline({"x": X})
    assert many.asked == [("z",)]


def test_an_unknown_output_of_a_stage_is_its_failure():
    pipeline = Pipeline(
        [Stage("multiply", double()), Stage("add", plus_one(), {"x": Origin("multiply", "z")})]
    )
    with pytest.raises(ModelFailed, match="stage multiply: multiply gave no output 'z', but y"):
        pipeline({"x": X})


def test_an_unknown_output_of_the_whole_is_the_callers():
    with pytest.raises(InvalidTensor, match="unknown output; the pipeline gives y") as caught:
        Pipeline([Stage("multiply", double())])({"x": X}, outputs=["q"])
    assert caught.value.field == "q"


def test_functions_and_callables_are_stages_too():
    add = Function(lambda x: {"y": x + 1}, inputs={"x": TensorSpec("float32", (None, None))})
    pipeline = Pipeline([Stage("add", add.as_model()), Stage("twice", lambda v: 2 * v)])
    assert pipeline({"x": X})["output"].tolist() == [[2, 4], [6, 8]]


def test_models_of_others_stay_open():
    mine, own = double(), double()
    pipeline = Pipeline([Stage("mine", mine), Stage("own", own, owned=True)])
    pipeline.close()
    assert (mine.closed, own.closed) == (0, 1)


def test_what_was_opened_is_closed_when_another_cannot_be():
    opened = double()

    def opener(stage: Stage):
        if stage.name == "bad":
            raise SetupError("is not there", field="model")
        return opened

    with pytest.raises(SetupError, match="stage bad: is not there"):
        Pipeline([Stage("good", "t"), Stage("bad", "t")], opener=opener)
    assert opened.closed == 1


# failures


@pytest.mark.parametrize(
    ("raised", "kind", "status"),
    [
        (RefusedByModel("no", code=400), CallerError, 400),
        (RefusedByModel("no", code=404), RefusedByModel, 502),
        (RefusedByModel("no", code=413), TooLarge, 413),
        (RefusedByModel("no", code=500), RefusedByModel, 502),
        (RefusedByModel("no", code=503), Overloaded, 503),
        (RefusedByModel("no", code=504), BackendTimeout, 504),
        (CannotConnect("no"), CannotConnect, 502),
        (BrokenReply("no"), BrokenReply, 502),
        (InvalidTensor("no", field="x"), InvalidTensor, 400),
        (DeadlineExceeded("no"), DeadlineExceeded, 504),
        (SetupError("no"), SetupError, 500),
        (ValueError("secret"), ModelFailed, 502),
    ],
)
def test_an_error_names_its_stage_and_keeps_its_blame(raised, kind, status):
    pipeline = Pipeline([Stage("multiply", double()), Stage("bad", failing(raised))])
    with pytest.raises(kind) as caught:
        pipeline({"x": X})
    told = "unexpected ValueError; the log has the trace" if kind is ModelFailed else "no"
    assert caught.value.detail == f"stage bad: {told}"
    assert caught.value.status == status
    assert caught.value.__cause__ is (raised if kind is ModelFailed else None)
    assert caught.value.field == getattr(raised, "field", None)
    assert "secret" not in str(caught.value)


def test_a_failing_stage_ends_the_run():
    behind = double()
    with pytest.raises(RefusedByModel):
        Pipeline([Stage("bad", failing(RefusedByModel("no", code=500))), Stage("b", behind)])(
            {"x": X}
        )
    assert behind.calls == 0


# time


def test_one_deadline_for_all_stages():
    last = double()
    pipeline = Pipeline([Stage("a", slow(0.3)), Stage("b", slow(0.3)), Stage("c", last)])
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"stage c: 0\.000 s are left of 0\.5"):
        pipeline({"x": X}, deadline=Deadline.after(0.5))
    assert last.calls == 0
    assert time.monotonic() - began < 0.9


def test_without_a_deadline_there_is_none():
    assert Pipeline([Stage("a", slow(0.01), share=0.5)])({"x": X})["y"].tolist() == X.tolist()


def test_a_stage_gets_its_share():
    given: list[float] = []

    class Noting(Step):
        def __call__(self, inputs, *, outputs=(), deadline):
            given.append(deadline.remaining())
            return super().__call__(inputs, outputs=outputs, deadline=deadline)

    stages = [Stage(f"s{n}", Noting(lambda x: {"y": x}), share=share)
              for n, share in enumerate((0.25, 1.0))]  # fmt: skip
    Pipeline(stages)({"x": X}, deadline=Deadline.after(10))
    assert 2.4 < given[0] <= 2.5
    assert 9.5 < given[1] <= 10


def test_a_stage_that_cannot_be_done_in_time_is_not_begun():
    last = double()
    pipeline = Pipeline([Stage("a", slow(0.1)), Stage("b", last, least=0.5)])
    with pytest.raises(DeadlineExceeded, match=r"stage b: .* it needs 0.5"):
        pipeline({"x": X}, deadline=Deadline.after(0.55))
    assert last.calls == 0


# rows and retries


def test_rows_are_given_in_slices():
    sizes: list[int] = []

    def note(x: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(x))
        return {"y": 2 * x}

    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    found = Pipeline([Stage("a", Step(note), max_batch=4)])({"x": rows})
    assert sizes == [4, 4, 2]
    assert found["y"].tolist() == (2 * rows).tolist()


def test_slices_need_rows():
    whole = Step(lambda x: {"y": x.sum(0)})
    rows = np.ones((9, 2), np.float32)
    with pytest.raises(ModelFailed, match="stage a: y has not a row for each of 4"):
        Pipeline([Stage("a", whole, max_batch=4)])({"x": rows})
    two = Step(lambda x, z: {"y": x}, takes=("x", "z"))
    with pytest.raises(InvalidTensor, match="stage a: 3 rows, where another input has 9"):
        Pipeline([Stage("a", two, max_batch=4)])({"x": rows, "z": rows[:3]})


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (CannotConnect("nobody"), 3),
        (CannotConnect("stage inner: nobody"), 1),
        (Overloaded("full"), 1),
        (RefusedByModel("full", code=503), 1),
        (RefusedByModel("no", code=500), 1),
        (BackendTimeout("slow"), 1),
        (BrokenReply("half"), 1),
    ],
)
def test_it_is_asked_again_only_when_it_has_not_computed(error, calls):
    step = failing(error)
    with pytest.raises(GpfnError, match="stage a: "):
        Pipeline([Stage("a", step, retries=2)])({"x": X})
    assert step.calls == calls


def test_asking_again_ends_with_the_deadline():
    step = failing(CannotConnect("nobody"))
    began = time.monotonic()
    with pytest.raises(CannotConnect):
        Pipeline([Stage("a", step, retries=10)])({"x": X}, deadline=Deadline.after(0.3))
    assert time.monotonic() - began < 0.5
    assert 2 <= step.calls <= 4


# branches


def fan(*branches: Step) -> Pipeline:
    stages = [Stage(f"b{n}", step, "inputs") for n, step in enumerate(branches)]
    origins = {f"b{n}": Origin(f"b{n}") for n in range(len(branches))}
    return Pipeline(stages, outputs=origins)


def test_branches_run_at_once():
    pipeline = fan(*(slow(0.2) for _ in range(4)))
    began = time.monotonic()
    pipeline({"x": X})
    assert time.monotonic() - began < 0.5
    pipeline.close()


def test_each_call_gets_its_own_data_at_a_join():
    def sleepy(x: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(float(x[0, 0] * 7919 % 13) / 1000)
        return {"y": x}

    join = Step(lambda a, b: {"same": (a == b).astype(np.float32), "id": a}, takes=("a", "b"))
    pipeline = Pipeline(
        [
            Stage("a", Step(sleepy), "inputs"),
            Stage("b", Step(lambda x: {"y": x}), "inputs"),
            Stage("join", join, {"a": Origin("a"), "b": Origin("b")}),
        ]
    )
    found: dict[int, dict[str, np.ndarray]] = {}

    def call(number: int) -> None:
        found[number] = pipeline({"x": numbers([number])})

    threads = [threading.Thread(target=call, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [*sorted(found)] == [*range(100)]
    for number, arrays in found.items():
        assert arrays["same"].all()
        assert arrays["id"][0, 0] == number


def test_the_first_failure_is_not_kept_waiting():
    pipeline = fan(failing(RefusedByModel("no", code=500)), slow(5))
    began = time.monotonic()
    with pytest.raises(RefusedByModel, match="stage b0: no"):
        pipeline({"x": X})
    assert time.monotonic() - began < 0.5


def test_a_failure_beside_a_result_is_a_failure_always():
    for _ in range(500):
        with pytest.raises(RefusedByModel, match="stage b1: no"):
            fan(double(), failing(RefusedByModel("no", code=500)), double())({"x": X})


def test_of_two_failures_the_first_stage_counts():
    gate = threading.Barrier(2)

    def together(name: str) -> Step:
        def fail(**_: object) -> dict[str, np.ndarray]:
            gate.wait()
            raise RefusedByModel(name, code=500)

        return Step(fail)

    with pytest.raises(RefusedByModel, match=r"stage b[01]: (left|right)"):
        fan(together("left"), together("right"))({"x": X})


def test_a_deadline_ends_branches():
    late, join = double(), Step(lambda a, b: {"y": a}, takes=("a", "b"))
    pipeline = Pipeline(
        [
            Stage("a", slow(2), "inputs"),
            Stage("b", double(), "inputs"),
            Stage("c", join, {"a": Origin("a"), "b": Origin("b")}),
            Stage("d", late),
        ]
    )
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="stage a: the time was up"):
        pipeline({"x": X}, deadline=Deadline.after(0.3))
    assert time.monotonic() - began < 0.6
    assert late.calls == 0


def test_a_pipeline_is_a_stage_of_another():
    inner = fan(double(), plus_one())
    outer = Pipeline(
        [
            Stage("inner", inner),
            Stage("join", Step(lambda b0, b1: {"y": b0 + b1}, takes=("b0", "b1"))),
        ]
    )
    assert outer({"x": X})["y"].tolist() == (3 * X + 1).tolist()


def test_times_are_a_tree():
    inner = Pipeline([Stage("multiply", double()), Stage("add", plus_one())])
    outer = Pipeline([Stage("inner", inner), Stage("last", double())])
    scope = CallScope([])
    token = SCOPE.set(scope)
    try:
        outer({"x": X})
    finally:
        SCOPE.reset(token)
    names = [took.name for took in scope.timings or []]
    assert names == ["inner.multiply", "inner.add", "inner", "last"]
    seconds = {took.name: took.seconds for took in scope.timings or []}
    assert seconds["inner"] >= seconds["inner.multiply"] + seconds["inner.add"]


def test_what_a_sibling_asks_of_a_server_is_broken_off() -> None:
    """One branch fails at once: the server that the other waits for learns it in a moment."""
    ended = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def stall() -> None:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                while connection.recv(65536):
                    pass
            ended.set()

        threading.Thread(target=stall, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        late = Step(lambda x: (time.sleep(0.3), failing(RefusedByModel("no"))({"x": x}))[1])
        pipeline = Pipeline(
            [Stage("fails", late, "inputs"), Stage("asks", url, "inputs")],
            outputs={"a": Origin("fails"), "b": Origin("asks")},
        )
        began = time.monotonic()
        with pytest.raises(RefusedByModel, match="stage fails: no"):
            pipeline({"x": X})
        assert ended.wait(1)
        assert time.monotonic() - began < 0.8
        pipeline.close()


def test_the_order_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from gpfn.models.pipeline.graph import in_order\n"
        "from gpfn.models.pipeline import Origin, Stage\n"
        "names = [f's{n}' for n in range(40)]\n"
        "stages = [Stage(name, 't', {'x': Origin(names[n * 7 % n] if n else 'inputs'),"
        " 'y': Origin(names[n // 2] if n else 'inputs')}) for n, name in enumerate(names)]\n"
        "print([stage.name for stage in in_order([*reversed(stages)])])\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(5)
    }
    assert len(told) == 1


# what a hostile reader found


def test_a_silent_server_has_only_the_time_of_the_call() -> None:
    """Its description is asked for within the deadline as well, and callers do not queue."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        pipeline = Pipeline([Stage("first", double()), Stage("silent", url)])
        took: list[float] = []

        def call() -> None:
            began = time.monotonic()
            with pytest.raises(GpfnError, match="stage silent"):
                pipeline({"x": X}, deadline=Deadline.after(0.5))
            took.append(time.monotonic() - began)

        threads = [threading.Thread(target=call) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(took) == 6
    assert max(took) < 1.2


def test_a_missing_input_is_never_another_ones_data() -> None:
    left = Step(lambda x: {"a": x + 1}, gives=("a",))
    right = Step(lambda y: {"b": 10 * y}, takes=("y",), gives=("b",))
    pipeline = Pipeline(
        [Stage("left", left, "inputs"), Stage("right", right, "inputs")],
        outputs={"a": Origin("left"), "b": Origin("right")},
    )
    for waits in (False, True):
        pipeline.waits = waits
        with pytest.raises(InvalidTensor, match="missing input of the stage right") as caught:
            pipeline({"x": X})
        assert caught.value.field == "y"


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (lambda x: {"y": x[x[:, 0] != 3]}, "y has not a row for each of 2"),
        (lambda x: {"y": np.concatenate([x, x[:2]])[:2]}, "y has not a row for each of 1"),
        (lambda x: {"y": x.astype("int64" if x[0, 0] else "float32")}, "y is int64 for some rows"),
        (lambda x: {"y" if x[0, 0] == 0 else "z": x}, "gave z, and y for other rows"),
    ],
)
def test_slices_never_shift_rows_or_change_kinds(step, told) -> None:
    rows = np.arange(5, dtype=np.float32).reshape(5, 1)
    with pytest.raises(ModelFailed, match=f"stage a: {told}"):
        Pipeline([Stage("a", Step(step), max_batch=2)])({"x": rows})


def test_an_input_without_rows_goes_to_every_slice() -> None:
    step = Step(lambda x, k: {"y": x * k}, takes=("x", "k"))
    step.inputs = ()
    rows = np.arange(5, dtype=np.float32).reshape(5, 1)
    found = Pipeline([Stage("a", step, max_batch=2)])({"x": rows, "k": np.float32(3)})
    assert found["y"].tolist() == (3 * rows).tolist()


def test_a_stage_cannot_change_what_others_see() -> None:
    def write(x: np.ndarray) -> dict[str, np.ndarray]:
        x *= 2
        return {"y": x}

    given = X.copy()
    with pytest.raises(ModelFailed, match="stage writes: unexpected ValueError"):
        Pipeline([Stage("writes", Step(write))])({"x": given})
    assert given.tolist() == X.tolist()
    assert given.flags.writeable


def test_a_model_that_is_swapped_gets_what_it_takes_now() -> None:
    gives = Step(lambda x: {"u": x, "v": -x}, gives=("u", "v"))
    takes = Step(lambda u, v: {"y": u + 10 * v}, takes=("u", "v"))
    pipeline = Pipeline([Stage("gives", gives), Stage("takes", takes)])
    assert pipeline({"x": X})["y"].tolist() == (-9 * X).tolist()
    takes.inputs = takes.inputs[:1]
    takes.function = lambda u: {"y": u}
    found = pipeline({"x": X})
    assert found["y"].tolist() == X.tolist()
    assert found["v"].tolist() == (-X).tolist()


def test_a_cancelled_call_begins_no_stage() -> None:
    last = double()
    scope = CallScope()

    def leave(x: np.ndarray) -> dict[str, np.ndarray]:
        scope.cancel()
        return {"y": x}

    token = SCOPE.set(scope)
    try:
        with pytest.raises(DeadlineExceeded, match="stage last: nobody waits"):
            Pipeline([Stage("first", Step(leave)), Stage("last", last)])({"x": X})
    finally:
        SCOPE.reset(token)
    assert last.calls == 0


def test_a_branch_that_hangs_keeps_no_process() -> None:
    program = (
        "import time, numpy as np\n"
        "from gpfn.deadline import Deadline\n"
        "from gpfn.errors import DeadlineExceeded\n"
        "from gpfn.models.pipeline import Origin, Pipeline, Stage\n"
        "p = Pipeline([Stage('a', lambda x: time.sleep(30), 'inputs'),"
        " Stage('b', lambda x: x, 'inputs')], outputs={'a': Origin('a'), 'b': Origin('b')})\n"
        "try:\n    p({'x': np.ones(1)}, deadline=Deadline.after(0.3))\n"
        "except DeadlineExceeded:\n    print('late')\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "late\n"
    assert time.monotonic() - began < 10


def test_an_extra_that_is_missing_is_told_with_its_command() -> None:
    with pytest.raises(MissingExtra, match=r"stage bad: .* pip install 'gpfn\[onnx\]'"):
        Pipeline([Stage("bad", failing(MissingExtra("onnxruntime", "onnx")))])({"x": X})


@pytest.mark.parametrize("name", ["inputs", "outputs"])
def test_no_stage_is_called_like_the_ends(name) -> None:
    with pytest.raises(SetupError, match="no name of a stage"):
        Pipeline([Stage(name, double())])
