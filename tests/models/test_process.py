"""A model in a process of its own: the same values and errors, and deaths that harm nobody."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gpfn import errors
from gpfn.deadline import Deadline
from gpfn.errors import (
    DeadlineExceeded,
    GpfnError,
    InvalidTensor,
    ModelFailed,
    ModelUnreadable,
    Overloaded,
    SetupError,
)
from gpfn.models import open_model
from gpfn.models.process import ProcessModel
from gpfn.models.process_start import error_of
from gpfn.models.process_worker import failure_of
from gpfn.tensors.dtypes import DTYPE_TABLE
from gpfn.tensors.spec import TensorSpec

ODD = """
import ctypes, os, sys, time
import numpy as np
from gpfn import TensorSpec
from gpfn.errors import InvalidTensor, TooLarge
from gpfn.models import declare

kept = []

def same(inputs: dict):
    return inputs

def keep(x):
    kept.append(x)
    return kept[0]

def act(x):
    which = int(x.ravel()[0])
    if which == 1: os._exit(7)
    if which == 2: os.abort()
    if which == 3: ctypes.string_at(0)
    if which == 4: os._exit(0)
    if which == 5:
        while True: pass
    if which == 6: raise ZeroDivisionError("secret /etc/passwd")
    if which == 7: raise InvalidTensor("too red", field="x[0]")
    if which == 8: sys.exit(3)
    if which == 9: time.sleep(0.3)
    if which == 10:
        os.closerange(3, 1 << 16)
        time.sleep(60)
    if which == 11: return np.zeros(2, np.complex64)
    if which == 12: return np.zeros((200, 1000, 100))
    if which == 13: raise TooLarge("too much")
    if which == 14:
        if not os.fork(): time.sleep(60)
    if which == 15: time.sleep(60)
    return x

@declare(
    inputs={"x": TensorSpec("float32", (None, 2), finite=True)},
    outputs={"y": TensorSpec("float32", None)},
)
def declared(x):
    return x + 1

@declare(inputs={"x": TensorSpec("float32", (None, 2))})
def aborts(x):
    os.abort()

def two(first, second, third=0):
    return first - second
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("odd") / "odd.py"
    path.write_text(ODD)
    return str(path)


@contextmanager
def opened(uri: str, **options: object) -> Iterator[ProcessModel]:
    model = ProcessModel(uri, **options)  # type: ignore[arg-type]
    try:
        yield model
    finally:
        model.close()


@pytest.fixture(scope="module")
def same(odd: str) -> Iterator[ProcessModel]:
    with opened(f"{odd}:same") as model:
        yield model


def acts(model: ProcessModel, which: int, **options: object) -> float:
    given = model({"x": np.array([which], np.float32)}, **options)  # type: ignore[arg-type]
    return float(given["output"][0])


def failure(model: ProcessModel, which: int) -> GpfnError:
    with pytest.raises((ModelFailed, Overloaded)) as caught:
        acts(model, which)
    return caught.value


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_there(pid)


@pytest.mark.parametrize("dtype", [name for name in DTYPE_TABLE if name != "string"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5, 7), (300, 400)])
def test_numbers_come_back_as_they_went(
    same: ProcessModel, dtype: str, shape: tuple[int, ...]
) -> None:
    kind = DTYPE_TABLE[dtype].numpy
    bits = np.random.default_rng(1).integers(0, 256, (*shape, kind.itemsize), np.uint8)
    sent = (bits & 1 if dtype == "bool" else bits).view(kind).reshape(shape)
    given = same({"x": sent, "transposed": sent.T, "swapped": sent.astype(kind.newbyteorder(">"))})
    for name, expected in (("x", sent), ("transposed", sent.T), ("swapped", sent)):
        assert given[name].dtype == kind
        assert given[name].shape == expected.shape
        assert given[name].tobytes() == expected.tobytes()
        assert given[name].flags.writeable
        assert not np.shares_memory(given[name], sent)


@pytest.mark.parametrize("longest", [20, 4000])
def test_strings_come_back_as_they_went(same: ProcessModel, longest: int) -> None:
    random = np.random.default_rng(2)
    sent = np.empty((6, 5), object)
    for index in np.ndindex(sent.shape):
        sent[index] = random.bytes(int(random.integers(0, longest)))
    sent[0, 0], sent[0, 1], sent[1, 0] = b"\0", b"a\0\0", b""
    given = same({"x": sent, "text": np.array(["a", "é\0b"]), "none": np.empty((0, 2), object)})
    assert given["x"].tolist() == sent.tolist()
    assert given["text"].tolist() == [b"a", "é\0b".encode()]
    assert given["none"].shape == (0, 2)
    assert given["x"].dtype == object


def test_large_and_many_arrays(same: ProcessModel) -> None:
    for size in (1 << 14, (1 << 14) + 1, 5_000_000, 70_000_000 // 4, 3):  # socket, memory, both
        sent = np.arange(size, dtype=np.float32)
        assert np.array_equal(same({"x": sent})["x"], sent)
    many = {f"x{index}": np.full(index % 7, index) for index in range(3000)}
    given = same(many)
    assert list(given) == list(many)
    assert all(np.array_equal(given[name], many[name]) for name in many)
    assert list(same(many, outputs=["x7", "x3"])) == ["x7", "x3"]


def test_what_a_model_keeps_stays_as_it_was(odd: str) -> None:
    with opened(f"{odd}:keep") as model:
        for size in (10, 100_000):
            first = model({"x": np.zeros(size)})["output"]
            for value in range(1, 4):
                assert not model({"x": np.full(size, value)})["output"].any()
            assert not first.any()
            assert model.restarts == 0


def test_what_a_model_gives_of_its_input_is_right(odd: str, tmp_path: Path) -> None:
    (tmp_path / "views.py").write_text(
        "def f(x):\n    y = x.copy()\n    x *= 0\n"
        "    return {'x': x, 'back': y[::-1], 'part': x[3:5]}\n"
    )
    with opened(f"{tmp_path}/views.py:f") as model:
        for turn in range(3):
            sent = np.arange(100_000) + turn
            given = model({"x": sent})
            assert np.array_equal(given["back"], sent[::-1])
            assert not given["x"].any()
            assert given["part"].tolist() == [0, 0]
            assert sent[5] == 5 + turn


@pytest.mark.parametrize("uri", ["models/forecast.tflite", "models/forecast.onnx"])
def test_it_is_what_it_would_be_here(uri: str) -> None:
    here = open_model(uri)
    x = np.random.default_rng(3).normal(20, 5, (4, *here.inputs[0].shape[1:])).astype("f4")  # type: ignore[index]
    with opened(uri) as there:
        for what in ("name", "backend", "inputs", "outputs"):
            assert getattr(there, what) == getattr(here, what)
        assert there.left_out == here.left_out  # type: ignore[attr-defined]
        expected = here({here.inputs[0].name: x})
        given = there({here.inputs[0].name: x})
        assert {k: v.tobytes() for k, v in given.items()} == {
            k: v.tobytes() for k, v in expected.items()
        }
        for inputs in ({"wrong": x}, {here.inputs[0].name: x[0, 0]}, {}):
            with pytest.raises(InvalidTensor) as told_here:
                here(inputs)
            with pytest.raises(InvalidTensor) as told_there:
                there(inputs)
            assert str(told_there.value) == str(told_here.value)
            assert told_there.value.field == told_here.value.field
        assert there.restarts == 0
        assert there.resident_bytes > 10_000_000


def test_a_declaration_and_the_order_of_inputs_come_along(odd: str) -> None:
    with opened(f"{odd}:declared") as model:
        assert model.inputs == (TensorSpec("float32", (None, 2), "x", finite=True),)
        assert model.inputs[0].finite
        assert model.outputs == (TensorSpec("float32", None, "y"),)
        assert model({"x": np.zeros((0, 2), "f4")})["y"].shape == (0, 2)
        with pytest.raises(InvalidTensor, match="finite") as caught:
            model({"x": np.full((1, 2), np.nan, "f4")})
        assert caught.value.field == "x[0][0]"
    with opened(f"{odd}:two") as model:
        here = open_model(f"{odd}:two")
        for count in (0, 1, 2, 3, 5, 99):
            assert model.names_for(count) == here.names_for(count)  # type: ignore[attr-defined]


def test_what_opening_says_is_said(odd: str, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"\x08\0\0\0TFL3" + bytes(64))
    for uri in (
        str(tmp_path / "m.tflite"),
        f"models/forecast.tflite#sha256={'0' * 64}",
        "models/forecast.tflite?signature=absent",
        f"{odd}:absent",
    ):
        with pytest.raises(SetupError) as here:
            open_model(uri)
        with pytest.raises(type(here.value)) as there:
            ProcessModel(uri)
        assert (there.value.detail, there.value.field) == (here.value.detail, here.value.field)
    with pytest.raises(ModelUnreadable, match="opened it was ended by SIGABRT"):
        ProcessModel(f"{odd}:aborts")  # called on zeros, before anybody asks
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(ModelUnreadable, match=r"not done within 0.3 s"):
        ProcessModel(f"{tmp_path}/slow.py:f", open_seconds=0.3)


def test_memory_is_bounded(odd: str) -> None:
    with opened(f"{odd}:act", memory=1 << 30) as model:
        big = model({"x": np.array([12.0])})["output"]
        assert big.nbytes == 160_000_000
        assert not big.any()
    with opened(f"{odd}:act", memory=150 << 20) as model:
        with pytest.raises(ModelFailed, match="MemoryError"):
            acts(model, 12)
        assert acts(model, 0) == 0
        assert model.restarts == 0


def errors_of_ours() -> list[GpfnError]:
    made: list[GpfnError] = []
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type):
            made.append(kind("a", "b") if kind is errors.MissingExtra else kind("a"))
    made[-1].field = "data[3]"
    return [
        *made,
        Overloaded("a", retry_after=7),
        errors.InvalidRequest("a", status=418),
        errors.RefusedByModel("a", code=409),
    ]


@pytest.mark.parametrize("error", errors_of_ours(), ids=lambda error: type(error).__name__)
def test_errors_of_ours_come_as_they_were(error: GpfnError) -> None:
    import orjson

    given = error_of(orjson.loads(orjson.dumps(failure_of(error))), "m")
    assert type(given) is type(error)
    assert vars(given) == vars(error)
    assert str(given) == str(error)
    assert given.__cause__ is None


def test_a_class_of_the_models_own_comes_as_what_it_is_of_ours() -> None:
    class TooRed(InvalidTensor):
        pass

    given = error_of(failure_of(TooRed("too red", field="x")), "m")
    assert (type(given), given.detail, given.field) == (InvalidTensor, "too red", "x")


def test_errors_leave_the_process_alive(odd: str) -> None:
    with opened(f"{odd}:act") as model:
        pid = model.pid
        with pytest.raises(InvalidTensor, match="too red") as ours:
            acts(model, 7)
        assert ours.value.field == "x[0]"
        with pytest.raises(errors.TooLarge, match="too much"):
            acts(model, 13)
        with pytest.raises(ModelFailed, match="raised ZeroDivisionError; the log") as theirs:
            acts(model, 6)
        assert "secret" not in str(theirs.value)
        assert "secret /etc/passwd" in str(theirs.value.__cause__)
        assert "odd.py" in str(theirs.value.__cause__)
        with pytest.raises(ModelFailed, match="SystemExit"):
            acts(model, 8)
        with pytest.raises(ModelFailed, match="complex"):
            acts(model, 11)
        for wrong in (np.zeros(2, np.complex64), np.ma.masked_array([1.0], [True])):
            with pytest.raises(InvalidTensor):
                model({"x": wrong})
        with pytest.raises(InvalidTensor, match="not Unicode"):
            model({"\ud800": np.zeros(2)})
        assert acts(model, 0) == 0
        assert (model.pid, model.restarts) == (pid, 0)


@pytest.mark.parametrize(
    ("which", "told"),
    [
        (1, "ended with exit code 7"),
        (2, "was ended by SIGABRT"),
        (3, "was ended by SIGSEGV"),
        (4, "ended with exit code 0"),
        (10, "has closed its connection"),
    ],
)
def test_a_death_is_told_and_the_next_call_has_a_new_process(
    odd: str, which: int, told: str
) -> None:
    with opened(f"{odd}:act") as model:
        pid = model.pid
        with pytest.raises(ModelFailed, match=told) as caught:
            acts(model, which)
        assert odd in caught.value.detail
        assert model.pid == model.resident_bytes == 0
        assert acts(model, 0) == 0
        assert model.pid not in (0, pid)
        assert model.restarts == 1


def test_kill_9_in_the_middle_of_a_call(odd: str) -> None:
    with opened(f"{odd}:act") as model:
        threading.Timer(0.3, os.kill, (model.pid, signal.SIGKILL)).start()
        with pytest.raises(ModelFailed, match="was ended by SIGKILL while it computed"):
            acts(model, 15)
        assert acts(model, 0) == 0


def test_one_that_keeps_dying_is_started_later_and_later(odd: str) -> None:
    with opened(f"{odd}:act") as model:
        for _ in range(2):
            with pytest.raises(ModelFailed):
                acts(model, 1)
        told: list[GpfnError] = []
        begin = time.monotonic()
        while model.restarts < 4 and time.monotonic() < begin + 20:
            told.append(failure(model, 1))
            time.sleep(0.01)
        waited = time.monotonic() - begin
        refused = [error for error in told if isinstance(error, Overloaded)]
        died = [error for error in told if isinstance(error, ModelFailed)]
        assert len(refused) > 5
        assert len(refused) + len(died) == len(told)
        assert {error.retry_after for error in refused} == {1}
        assert {error.detail.rpartition(": ")[2] for error in died} == {
            "its process ended with exit code 7 while it computed"
        }
        assert 0.1 + 0.2 + 0.4 < waited < 20


@pytest.mark.parametrize("which", [5, 15])
def test_one_that_hangs_is_ended(odd: str, which: int) -> None:
    with opened(f"{odd}:act") as model:
        pid, begin = model.pid, time.monotonic()
        with pytest.raises(DeadlineExceeded):
            acts(model, which, deadline=Deadline.after(0.7))
        assert 0.69 < time.monotonic() - begin < 3
        assert not is_there(pid)
        assert acts(model, 0, deadline=Deadline.after(30)) == 0
        assert model.restarts == 1


def test_callers_with_little_time_cost_no_process(odd: str) -> None:
    with opened(f"{odd}:act") as model:
        pid = model.pid
        for _ in range(3):
            assert acts(model, 9, deadline=Deadline.after(0.01)) == 9  # late, and there
        assert (model.pid, model.restarts) == (pid, 0)
        with pytest.raises(DeadlineExceeded):
            acts(model, 0, deadline=Deadline.after(-1))
    with opened(f"{odd}:act", patience=0.0) as model:
        with pytest.raises(DeadlineExceeded):
            acts(model, 9, deadline=Deadline.after(0.01))
        assert acts(model, 0) == 0
        assert model.restarts == 1


def test_a_deadline_does_not_end_what_is_being_opened(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(
        "import os, time\ntime.sleep(0.5)\ndef f(x):\n  return os._exit(1) if x[0] else x"
    )
    with opened(f"{path}:f") as model:
        with pytest.raises(ModelFailed):
            model({"x": np.ones(1)})
        with pytest.raises(DeadlineExceeded, match="opened again"):
            model({"x": np.zeros(1)}, deadline=Deadline.after(0.1))
        pid = model.pid
        assert is_there(pid)
        assert model({"x": np.zeros(1)})["output"] == 0
        assert (model.pid, model.restarts) == (pid, 1)


def test_a_model_that_is_gone_is_told_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "here.py"
    path.write_text("import os\ndef f(x):\n  return os._exit(1) if x[0] else x")
    with opened(f"{path}:f") as model:
        path.unlink()
        with pytest.raises(ModelFailed, match="exit code 1"):
            model({"x": np.ones(1)})
        with pytest.raises(SetupError, match=r"cannot import|no such file"):
            model({"x": np.zeros(1)})
        with pytest.raises(Overloaded):
            model({"x": np.zeros(1)})


def test_fifty_threads(odd: str) -> None:
    failed: list[object] = []
    with opened(f"{odd}:same") as model:

        def calls(number: int) -> None:
            for turn in range(20):
                sent = np.full(
                    (number % 3 + 1, 40_000 if turn % 5 == 0 else 4), number * 100 + turn
                )
                given = model({"x": sent, "y": sent[0, :1]}, deadline=Deadline.after(60))
                if not (np.array_equal(given["x"], sent) and given["y"] == sent[0, 0]):
                    failed.append((number, turn))

        threads = [threading.Thread(target=calls, args=(n,)) for n in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
        assert model.restarts == 0


def test_who_waits_behind_a_long_call_has_a_deadline(odd: str) -> None:
    with opened(f"{odd}:act") as model:
        busy = threading.Thread(target=lambda: acts(model, 9))
        busy.start()
        time.sleep(0.1)
        with pytest.raises(DeadlineExceeded, match="calls before it"):
            acts(model, 0, deadline=Deadline.after(0.05))
        busy.join()
        assert model.restarts == 0


def test_closing_ends_a_call_and_everything(odd: str) -> None:
    told: list[BaseException] = []
    model = ProcessModel(f"{odd}:act")
    pid = model.pid

    def call() -> None:
        try:
            acts(model, 15)
        except ModelFailed as error:
            told.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.2)
    model.close()
    thread.join(5)
    assert len(told) == 1
    assert not is_there(pid)
    model.close()
    with pytest.raises(ModelFailed, match="closed"):
        acts(model, 0)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def zombies() -> int:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return sum(not is_there(int(pid)) for pid in children)


def test_nothing_is_left_behind(odd: str, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    gc.collect()
    before = open_files(), zombies(), threading.active_count()
    for which in (1, 3, 0, 14):
        with opened(f"{odd}:act") as model:
            pid = model.pid
            if which in (1, 3):
                failure(model, which)
            else:
                acts(model, which)
            model({"x": np.zeros(100_000)})
        assert not is_there(pid)
    for _ in range(2):
        with pytest.raises(SetupError):
            ProcessModel(str(tmp_path / "m.tflite"))
    assert (open_files(), zombies(), threading.active_count()) == before


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("which", [0, 5, 15])
def test_it_dies_with_its_parent(odd: str, which: int, signal_number: int) -> None:
    program = f"""
    import threading, time
    import numpy as np
    from gpfn.models.process import ProcessModel
    model = ProcessModel({f"{odd}:act"!r})
    call = lambda: model({{"x": np.array([{which}])}})
    threading.Thread(target=call, daemon=True).start()
    time.sleep(0.3)
    print(model.pid, flush=True)
    time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_there(pid)
        parent.send_signal(signal_number)
        assert gone_within(pid, 1.0)


def test_it_outlives_the_thread_that_has_started_it(odd: str) -> None:
    made: list[ProcessModel] = []
    thread = threading.Thread(target=lambda: made.append(ProcessModel(f"{odd}:act")))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert acts(made[0], 0) == 0
    assert made[0].restarts == 0
    made[0].close()


def test_a_copy_of_the_process_may_not_use_it(odd: str) -> None:
    with opened(f"{odd}:act") as model:
        child = os.fork()
        if not child:
            code = 1
            try:
                acts(model, 0)
            except ModelFailed:
                model.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert acts(model, 0) == 0


def test_the_child_has_nothing_but_a_socket(odd: str) -> None:
    with open(odd, encoding="utf-8") as file, opened(f"{odd}:act") as model:
        os.set_inheritable(file.fileno(), True)
        acts(model, 0)
        links = [os.readlink(path) for path in Path(f"/proc/{model.pid}/fd").iterdir()]
        assert odd not in links
        mine = [link for link in links if "socket:" in link]
        assert len(mine) == 1
