"""TensorFlow's C library: signatures, frozen graphs, strings, and what it must not load."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpfn.errors import InvalidTensor, ModelFailed, ModelUnreadable, SetupError
from gpfn.models import open_model, warm_up
from gpfn.models.tensorflow import _SELECTIONS, open_frozen_graph
from gpfn.tensors.spec import TensorSpec
from tests.alone import alone, resident


def run(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_the_python_package_is_not_loaded_and_nothing_is_logged(made: Path) -> None:
    ended = run(
        """
        import sys
        import numpy as np
        from gpfn.models import open_model
        for path in sys.argv[1:]:
            model = open_model(path)
            model({spec.name: np.ones((2, 3), spec.dtype) for spec in model.inputs})
        loaded = {name.split(".")[0] for name in sys.modules}
        print("tensorflow" in loaded, "google" in loaded, "keras" in loaded)
        """,
        made / "order",
        made / "order.pb",
    )
    assert (ended.stdout, ended.stderr) == ("False False False\n", "")


def test_the_log_can_be_asked_for(made: Path) -> None:
    code = "import sys; from gpfn.models import open_model; open_model(sys.argv[1])"
    ended = run(code, made / "affine", TF_CPP_MIN_LOG_LEVEL="0")
    assert ended.returncode == 0
    assert "SavedModel" in ended.stderr


def test_what_other_threads_write_to_stderr_is_not_lost() -> None:
    ended = run(
        """
        import os, threading, time
        from gpfn.models.tf_library import library
        stop = threading.Event()
        def talk():
            number = 0
            while not stop.is_set():
                os.write(2, b"line %d\\n" % number)
                number += 1
                time.sleep(0.001)
            print(number)
        talker = threading.Thread(target=talk)
        talker.start()
        library()
        stop.set()
        talker.join()
        """
    )
    lines = {f"line {number}" for number in range(int(ended.stdout))}
    assert set(ended.stderr.splitlines()) == lines  # kept back for a while, so not in order


def test_stderr_may_be_closed(made: Path) -> None:
    code = (
        "import os, sys; os.close(2); from gpfn.models import open_model; open_model(sys.argv[1])"
    )
    assert run(code, made / "affine").returncode == 0


def test_without_tensorflow_the_error_is_the_command(made: Path) -> None:
    ended = run(
        """
        import sys
        sys.modules["tensorflow"] = None
        from gpfn.errors import MissingExtra
        from gpfn.models import open_model
        for path in sys.argv[1:]:
            try:
                open_model(path)
            except MissingExtra as error:
                print(error)
        """,
        made / "order",
        made / "order.pb",
    )
    assert ended.stderr == ""
    assert [line.partition("; ")[2] for line in ended.stdout.splitlines()] == [
        "run: pip install 'gpfn[tensorflow]'"
    ] * 2


def test_variables_are_restored(made: Path) -> None:
    model = open_model(made / "affine")
    x = np.eye(3, dtype=np.float32)
    assert_array_equal(model({"x": x})["y"], np.arange(6, dtype=np.float32).reshape(3, 2))


def test_signatures(made: Path) -> None:
    x = {"x": np.array([1, 2], np.float32)}
    assert open_model(made / "several", signature="thrice")(x)["y"].tolist() == [3, 6]
    with pytest.raises(SetupError, match="thrice, twice; name one") as caught:
        open_model(made / "several")
    assert caught.value.field == "signature"


def test_scalars_and_unknown_rank(made: Path) -> None:
    model = open_model(made / "scalar")
    assert model.inputs == (TensorSpec("float32", None, "any"), TensorSpec("float32", (), "x"))
    for shape in ((), (3,), (2, 0), (1, 2, 3)):
        given = model({"x": np.float32(3), "any": np.ones(shape, np.float32)})  # type: ignore[dict-item]
        assert given["sum"].shape == ()
        assert given["sum"] == 3 + np.prod(shape)


@pytest.mark.parametrize("name", ["text", "text.pb"])
def test_strings_of_any_bytes(made: Path, name: str) -> None:
    model = open_model(made / name)
    words = np.array([b"", b"a\0b", bytes(range(256)) * 40, b"x" * 22, b"y" * 23], object)
    given = model({"words": words})
    assert given["twice"].tolist() == [word * 2 for word in words]
    assert given["length"].tolist() == [len(word) for word in words]
    assert model({"words": np.empty(0, object)})["twice"].shape == (0,)


def kept_of_strings(path: Path) -> int:
    model = open_model(path)
    words = np.array([b"x" * 100_000] * 50, object)
    for _ in range(5):
        model({"words": words})
    before = resident()
    for _ in range(40):  # 600 MB go through
        model({"words": words})
    return resident() - before


def test_strings_are_freed(made: Path) -> None:
    assert alone(kept_of_strings, made / "text") < 50 << 20


@pytest.mark.parametrize("name", ["looped", "looped.pb"])
def test_while_loops_in_the_calling_thread(made: Path, name: str) -> None:
    model = open_model(made / name, outputs=["y"])
    given = model({"x": np.ones((2, 200, 2), np.float32)})
    assert_allclose(given["y"], np.full((2, 2), 2.0), rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 200, "auto"])
def test_threads(made: Path, threads: int) -> None:
    model = open_model(made / "slow", threads=threads)
    assert model({"x": np.zeros((3, 768), np.float32)})["y"].shape == (3, 768)


def test_default_ends_of_a_frozen_graph(made: Path) -> None:
    """By graphpipe-tf's rules: ops without inputs that are no constants; what nobody consumes."""
    model = open_frozen_graph(str(made / "order.pb"))
    assert [spec.name for spec in model.inputs] == ["weights", "counts"]
    assert [spec.name for spec in model.outputs] == ["total", "doubled"]


def test_any_tensor_of_a_graph_may_be_fed_and_fetched(made: Path) -> None:
    model = open_model(made / "order.pb", outputs=["mul:0"])
    assert [spec.name for spec in model.outputs] == ["mul"]
    ones = np.ones((2, 3), np.float32)
    product = model({"weights": ones * 2, "counts": ones.astype(np.int32) * 3})
    assert product["mul"].tolist() == [[6.0] * 3] * 2
    total = model({"mul:0": ones}, outputs=["total:0"])  # in place of both inputs
    assert list(total) == ["total"]
    assert total["total"].tolist() == [3.0, 3.0]
    with pytest.raises(InvalidTensor, match="expected shape") as caught:
        model({"mul": np.zeros((2, 2), np.float32)}, outputs=["total"])
    assert caught.value.field == "mul"
    with pytest.raises(ModelFailed, match="must feed a value for placeholder"):
        model({"mul": ones}, outputs=["doubled"])


@pytest.mark.parametrize(
    "name",
    ["", ":", ":0", "x:", "x:-1", "total:1", "total:99999999", "weights\0", "ümlaut", "\udc80"],
)
def test_names_that_are_not_in_the_graph(made: Path, name: str) -> None:
    model = open_model(made / "order.pb")
    ones = np.ones((1, 3), np.float32)
    with pytest.raises(InvalidTensor, match="unknown output: no tensor of the graph"):
        model({"weights": ones, "counts": ones}, outputs=[name])
    with pytest.raises(InvalidTensor, match="unknown input: no tensor of the graph"):
        model({"weights": ones, "counts": ones, name: ones})
    with pytest.raises(SetupError, match="no tensor"):
        open_model(made / "order.pb", outputs=[name])


def test_selections_are_bounded(made: Path) -> None:
    """TensorFlow keeps a plan for each set of outputs for ever; a stranger may not fill memory."""
    model = open_model(made / "looped.pb")
    x = np.ones((1, 200, 2), np.float32)
    names = [spec.name for spec in model.outputs]
    for mask in range(1, 3 * _SELECTIONS):
        chosen = [name for bit, name in enumerate(names) if mask >> bit & 1]
        assert list(model({"x": x}, outputs=chosen)) == chosen
    assert len(model._selections) == _SELECTIONS  # type: ignore[attr-defined]
    with pytest.raises(InvalidTensor, match="different selections"):
        model({"x": x}, outputs=["while/Identity_5", "x"])


def test_batches_that_differ_get_tensorflows_message(made: Path) -> None:
    model = open_model(made / "order")
    with pytest.raises(ModelFailed, match=r"order: INVALID_ARGUMENT: Incompatible shapes"):
        model({"weights": np.zeros((2, 3), np.float32), "counts": np.zeros((5, 3), np.int32)})


def test_what_is_no_saved_model(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match=r"without saved_model\.pb"):
        open_model(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelUnreadable, match="TensorFlow cannot open it") as caught:
        open_model(tmp_path)
    assert str(tmp_path) in caught.value.detail
    (tmp_path / "saved_model.pb").write_bytes((made / "affine" / "saved_model.pb").read_bytes())
    with pytest.raises(ModelUnreadable, match="variables are absent"):
        open_model(tmp_path)


def test_a_cut_saved_model(made: Path, tmp_path: Path) -> None:
    whole = (made / "several" / "saved_model.pb").read_bytes()
    for size in (1, 2, 3, 10, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "saved_model.pb").write_bytes(whole[:size])
        with pytest.raises(ModelUnreadable, match="TensorFlow cannot open it"):
            open_model(tmp_path)


def test_a_frozen_graph_of_unknown_operations(tmp_path: Path) -> None:
    node = b"\x0a\x01n" + b"\x12\x0bNoSuchThing"
    path = tmp_path / "m.pb"
    path.write_bytes(b"\x0a" + bytes([len(node)]) + node)
    with pytest.raises(ModelUnreadable, match="NoSuchThing") as caught:
        open_model(path)
    assert str(path) in caught.value.detail


def kept_of_closed_models(path: Path) -> int:
    def cycles(count: int) -> int:
        for _ in range(count):
            model = open_model(path)
            warm_up(model)
            model.close()
        return resident()

    before = cycles(4)
    return cycles(12) - before


def test_closing_frees(made: Path) -> None:
    """Each model has 2.4 MB of weights."""
    assert alone(kept_of_closed_models, made / "slow") < 14 << 20


COMPLEX = (
    "TensorFlow complex64, which no array here holds; "
    "let the model give its real and its imaginary part"
)


def test_a_complex_output_is_left_out_and_the_others_are_not(made: Path) -> None:
    x = np.array([[1.0, 0.0, 0.0, 0.0]], np.float32)
    for name in ("spectrum", "spectrum.pb"):
        model = open_model(made / name)
        assert model.left_out == {"bins": COMPLEX}
        assert [spec.name for spec in model.outputs] == ["strength"]
        assert model({"x": x})["strength"].tolist() == [[1.0, 1.0, 1.0, 1.0]]
        for asked in ("bins", "bins:0"):
            with pytest.raises(InvalidTensor) as caught:
                model({"x": x}, outputs=["strength", asked])
            assert caught.value.detail == f"bins is a {COMPLEX}"
        with pytest.raises(SetupError) as refused:
            open_model(made / name, outputs=["bins"])
        assert (refused.value.detail, refused.value.field) == (f"bins is a {COMPLEX}", "outputs")


@pytest.mark.parametrize("name", ["bins", "bins.pb"])
def test_a_model_of_complex_outputs_alone_is_refused_with_the_cure(made: Path, name: str) -> None:
    with pytest.raises(ModelUnreadable) as caught:
        open_model(made / name)
    assert caught.value.detail == f"no output can be used: bins is a {COMPLEX}: {made / name}"
