"""JSON lines: events with their data, plain objects, and lines that are neither."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.data import json_lines
from gpfn.data.formats import open_sink, open_source
from gpfn.data.json_columns import column_of
from gpfn.data.seam import Chunk
from gpfn.errors import SetupError
from gpfn.tensors.npy import encode_npy


def read(path: Path, lines: list[Any], rows: int = 100) -> list[Chunk]:
    """Return the chunks of a file with these lines; text is a line as it is."""
    path.write_text("".join(f"{t if isinstance(t, str) else json.dumps(t)}\n" for t in lines))
    source = open_source(path)
    try:
        return [*source.chunks(None, rows)]
    finally:
        source.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def event(number: int, **members: Any) -> dict[str, Any]:
    """Return a CloudEvent."""
    return {"specversion": "1.0", "id": f"{number}", "source": "/s", "type": "t", **members}


def test_events_are_rows_with_who_they_are(path: Path) -> None:
    [chunk] = read(path, [event(1, data=[1, 2]), event(2, data=[3.5, 4])])
    assert chunk.columns["data"].tolist() == [[1, 2], [3.5, 4]]
    assert chunk.columns["ce_id"].tolist() == ["1", "2"]
    assert chunk.columns["ce_source"].tolist() == ["/s", "/s"]
    [chunk] = read(path, [event(1, data={"a": 1, "b": "x"}), event(2, data={"a": 2.5})])
    assert chunk.columns["a"].tolist() == [1, 2.5]
    assert chunk.missing["b"].tolist() == [False, True]


def test_long_lines_are_read_a_few_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "_MOST_BYTES", 50)
    chunks = read(path, [{"x": [number] * 10} for number in range(5)])
    assert [(chunk.first, chunk.rows) for chunk in chunks] == [(0, 2), (2, 2), (4, 1)]
    assert [len(chunk.columns["x"]) for chunk in chunks] == [2, 2, 1]


def test_events_with_binary_data(path: Path) -> None:
    array = np.arange(4, dtype=np.float32).reshape(2, 2)
    data = base64.b64encode(encode_npy(array)).decode()
    raw = base64.b64encode(array.tobytes()).decode()
    found = read(
        path,
        [
            event(1, datacontenttype="application/x-npy", data_base64=data),
            event(
                2,
                datacontenttype="application/octet-stream",
                data_base64=raw,
                dtype="float32",
                shape="2,2",
            ),
        ],
    )
    assert not found[0].faults, found[0].faults
    assert (found[0].columns["data"] == array).all()


def test_lines_that_are_no_rows_are_faults(path: Path) -> None:
    lines = [
        {"a": 1},
        "{",
        [1],
        event(1),
        {"specversion": "1.0", "id": ""},
        {"b": None},
        {"a": 2},
        "",
    ]
    [chunk] = read(path, lines)
    assert chunk.rows == 7
    assert {*chunk.faults} == {1, 2, 3, 4}
    assert chunk.faults[1].text == "{"
    assert chunk.faults[4].reason == "source: a required attribute is missing"
    assert chunk.columns["a"][6] == 2


def test_a_file_without_an_object_is_refused(path: Path) -> None:
    with pytest.raises(SetupError, match=r"rows\.jsonl: no JSON object in its first 1000 lines"):
        read(path, ["[1]", "2"])


def test_no_value_changes() -> None:
    big = 2**53 + 1
    assert column_of([big, None]).tolist() == [big, 0]
    assert column_of([big, 0.5]).tolist() == [big, 0.5]
    assert column_of([2**70]).tolist() == [2**70]
    assert column_of([True, 1]).dtype == object
    assert column_of([True, None]).tolist() == [True, False]
    assert column_of([[1], [2, 3]]).tolist() == [[1], [2, 3]]
    assert column_of([[[1, 2]], [[3, 4]]]).shape == (2, 1, 2)
    assert column_of([[1, "a"], [2, 3]]).dtype == object
    assert np.isnan(column_of([None, 1.5])[0])


def test_what_is_written_is_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    columns = {
        "y": np.array([0.1, np.nan, 2], np.float32),
        "m": np.array([[1, 2], [3, 4], [5, 6]]),
        "one": np.ones((3, 1)),
        "t": np.array(["é", "b", "c"], object),
    }
    with open_sink(path) as sink:
        sink.write(columns, {"m": np.array([False, False, True])})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"y": 0.1, "m": [1, 2], "one": 1, "t": "é"},
        {"y": None, "m": [3, 4], "one": 1, "t": "b"},
        {"y": 2, "m": None, "one": 1, "t": "c"},
    ]


def test_whole_numbers_are_exact_however_long(path: Path) -> None:
    [chunk] = read(path, ['{"x": 123456789012345678901234567890}', '{"x": -9223372036854775809}'])
    assert chunk.columns["x"].tolist() == [123456789012345678901234567890, -9223372036854775809]


def test_data_do_not_say_whose_answer_it_is(path: Path) -> None:
    [chunk] = read(path, [event(1, data={"x": 1}), event(2, data={"ce_id": "1", "x": 2})])
    assert (
        chunk.faults[1].reason == "the event's data have a member ce_id, which is the event's own"
    )
    assert chunk.missing["ce_id"].tolist() == [False, True]


def test_lists_within_lists_are_no_array_from_some_depth_on(path: Path) -> None:
    deep = "[" * 1000 + "1" + "]" * 1000
    [chunk] = read(path, [f'{{"x": {deep}}}', f'{{"x": {deep}}}'])
    assert chunk.columns["x"].dtype == object
