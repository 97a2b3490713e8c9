"""Answers as rows: in order, by output, probabilities by the names of classes."""

import json

import numpy as np
import pytest

from gpfn.errors import BackendError, ModelFailed
from gpfn.rows.writing import (
    are_rows,
    check_rows,
    row_objects,
    write_csv,
    write_json,
    write_text,
)

ARRAYS = {
    "label": np.array(["a", b"b"], object),
    "p": np.array([[0.1, 0.9], [0.25, 0.75]], np.float32),
    "n": np.array([[1], [2]], np.int64),
}
CLASSES = {"p": ("no", "yes")}


def test_rows_are_objects_of_every_output() -> None:
    found = write_json(ARRAYS, CLASSES, one=False)
    assert found.media_type == "application/json"
    assert json.loads(found.body) == [
        {"label": "a", "p": {"no": 0.1, "yes": 0.9}, "n": 1},
        {"label": "b", "p": {"no": 0.25, "yes": 0.75}, "n": 2},
    ]
    assert json.loads(write_json(ARRAYS, {}, one=True).body)["p"] == [0.1, 0.9]


def test_classes_that_no_output_is_named_for_are_those_of_the_right_width() -> None:
    [row, _], _ = row_objects(ARRAYS, {"": ("x", "y")})
    assert row["p"] == {"x": 0.1, "y": 0.9}
    [row, _], _ = row_objects(ARRAYS, {"": ("x", "y", "z")})
    assert row["p"] == [0.1, 0.9]
    [row, _], _ = row_objects({"n": np.array([[1, 2], [3, 4]])}, {"": ("x", "y")})
    assert row["n"] == [1, 2]


def test_csv_has_a_column_for_each_value() -> None:
    found = write_csv(ARRAYS, CLASSES, ",")
    assert found.body == b"label,p.no,p.yes,n\r\na,0.1,0.9,1\r\nb,0.25,0.75,2\r\n"
    assert found.media_type == "text/csv; charset=utf-8; header=present"
    plain = write_csv({"y": np.zeros((1, 2, 2), np.float16), "z": np.array([True])}, {}, ";")
    assert plain.body == b"y.0;y.1;y.2;y.3;z\r\n0.0;0.0;0.0;0.0;true\r\n"
    assert plain.media_type.endswith("; separator=semicolon")
    tabbed = write_csv({"t": np.array(['a"\t', b"\xff"], object)}, {}, "\t")
    assert tabbed.body == b't\r\n"a""\t"\r\n/w==\r\n'
    assert tabbed.media_type == "text/tab-separated-values; charset=utf-8"


def test_numbers_that_are_none_are_null_and_empty_or_refused() -> None:
    arrays = {"y": np.array([[1.5, np.nan], [np.inf, 0.1]], ">f8")}
    found = write_json(arrays, {}, one=False)
    assert (json.loads(found.body), found.nonfinite) == (
        [{"y": [1.5, None]}, {"y": [None, 0.1]}], True,
    )  # fmt: skip
    assert write_csv(arrays, {}, ",").body == b"y.0,y.1\r\n1.5,\r\n,0.1\r\n"
    with pytest.raises(BackendError, match="not finite") as caught:
        write_json(arrays, {}, one=False, nonfinite="refuse")
    assert caught.value.field == "y"


def test_a_text_is_answered_by_a_text() -> None:
    found = write_text({"y": np.array(["\u00e4"], object)}, {})
    assert (found.body.decode(), found.media_type) == ("\u00e4", "text/plain; charset=utf-8")
    assert json.loads(write_text({"y": np.array([b"\xff"], object)}, {}).body) == {
        "y": {"b64": "/w=="}
    }
    assert json.loads(write_text({"y": np.array([1.0])}, {}).body) == {"y": 1.0}


def test_what_is_none_of_rows_is_refused() -> None:
    assert are_rows(ARRAYS, 2)
    assert not are_rows(ARRAYS, 3)
    assert not are_rows({"y": np.float32(1.0) * np.ones(())}, 1)
    with pytest.raises(ModelFailed, match=r"gave y in the shape \[3\] for 2 rows"):
        check_rows({"y": np.zeros(3)}, 2)
    check_rows(ARRAYS, 2)
    for array in (np.array([1j]), np.array([object()]), np.ma.masked_array([1], [True])):
        with pytest.raises(BackendError, match=r"no tensor|mask") as caught:
            row_objects({"y": array}, {})
        assert caught.value.field == "y"
