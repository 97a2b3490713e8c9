"""Times of calls, beside each other: numbers, turns, and answers that have to be the same."""

from array import array
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import BrokenReply
from gpfn.models.pipeline import Stage
from gpfn.pipelines import Placement
from gpfn.pipelines.measuring import Times, measure_ways, same_answers, stage_calls


def test_percentiles_and_rate() -> None:
    times = Times(array("d", [0.001, 0.002, 0.003, 0.010]))
    assert [times.percentile(part) for part in (50, 75, 99)] == [2.0, 3.0, 10.0]
    assert times.rate == pytest.approx(250)


def test_ways_take_turns() -> None:
    called: list[str] = []
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    times = measure_ways(ways, 0.08)
    assert list(times) == ["a", "b"]
    assert all(list(each.seconds) == sorted(each.seconds) for each in times.values())
    turns = [name for name, before in zip(called, ["", *called], strict=False) if name != before]
    assert turns == ["a", "b"] * (len(turns) // 2)
    assert len(turns) > 4
    assert sum(times["a"].seconds) == pytest.approx(0.08, abs=0.05)


def test_each_stage_is_called_with_what_it_is_given_in_the_pipeline(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "def double(x):\n    return 2 * x\ndef add(x):\n    return x + 1\n"
    )
    stages = tuple(Stage(name, f"{tmp_path}/m.py:{name}") for name in ("double", "add"))
    x = np.array([1.0, 2.0], np.float32)
    double, add = stage_calls(Placement((), (), stages, {}), "p", {"x": x})
    [doubled] = double().values()  # type: ignore[attr-defined]
    [added] = add().values()  # type: ignore[attr-defined]
    assert (doubled.tolist(), added.tolist()) == ([2, 4], [3, 5])


A = {"y": np.array([1.0, np.nan], np.float32)}


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"y": np.array([1.0, 2.0], np.float32)},
        {"y": np.array([1.0, np.nan])},
        {"y": np.array([1.0, np.nan, 1.0], np.float32)},
        {"y": np.array([b"1", b"2"], object)},
    ],
    ids=["nothing", "another value", "another dtype", "another shape", "text"],
)
def test_another_answer_is_told(other: dict[str, "np.ndarray"]) -> None:
    with pytest.raises(BrokenReply, match="b and a do not answer the same"):
        same_answers({"a": A, "b": other})


def test_the_same_answer_may_have_another_name() -> None:
    same_answers({"a": A, "b": {"output": A["y"]}})
    words = {"y": np.array([b"1", b"2"], object)}
    same_answers({"a": words, "b": dict(words)})
