"""Record batches in, record batches out: the same scores as of files."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gpfn.data.batches import FAILED, opened_scorer, score_batches, score_schema
from gpfn.data.scorer import ModelOrder
from gpfn.data.scoring import MaxFailed, ScoreJob, ScoreOptions
from gpfn.errors import SetupError
from tests.data.scored import refusing


def table(rows: int) -> pa.Table:
    """Return rows of three numbers, the fifth of them with a negative one, and a name."""
    a = np.arange(rows, dtype=np.float64)
    a[5] = -1
    names = pa.array([f"n{at}" for at in range(rows)]).dictionary_encode()
    return pa.table({"id": names, "a": a, "b": a + 1, "c": a + 2})


@pytest.mark.parametrize("size", [1, 4, 100])
def test_batches_are_scored_in_their_order(tmp_path: Path, size: int) -> None:
    order = ModelOrder(refusing(tmp_path), features=("a", "b", "c"), keep=("id",))
    scorer = opened_scorer(pickle.loads(pickle.dumps(order)))
    assert opened_scorer(order) is scorer
    given = table(20)
    schema = score_schema(scorer, given.schema)
    found = pa.Table.from_batches(score_batches(given.to_batches(size), scorer, schema))
    assert found.schema == schema
    assert found.schema.names == ["id", "y", "n", FAILED]
    assert found["id"].to_pylist() == given["id"].to_pylist()
    wanted = [None if at == 5 else 3.0 * at + 3 for at in range(20)]
    assert found["y"].to_pylist() == wanted
    assert found["n"].to_pylist()[5:7] == [None, [6, 7]]
    told = found[FAILED].to_pylist()
    assert told.pop(5) == "ValueError: a negative number"
    assert {*told} == {None}


def test_the_schema_is_found_when_it_is_not_given(tmp_path: Path) -> None:
    scorer = opened_scorer(ModelOrder(refusing(tmp_path), features=("a", "b", "c")))
    [one] = score_batches(table(10).to_batches(), scorer)
    assert one.schema.names == ["y", "n", FAILED]
    assert [*score_batches([], scorer)] == []
    with pytest.raises(SetupError, match="no column a"):
        [*score_batches(pa.table({"x": [1]}).to_batches(), scorer)]


def test_what_other_processes_are_told_can_be_pickled(tmp_path: Path) -> None:
    for value in (
        ScoreJob("a", "b", "c"),
        ScoreOptions(max_failed=MaxFailed(1, 0.5)),
        ModelOrder("m"),
    ):
        assert pickle.loads(pickle.dumps(value)) == value
