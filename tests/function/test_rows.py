"""Functions of rows with real models: from the bytes of a request to those of its answer."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn import Event, Function, TensorSpec
from gpfn.call.decode import Parsed
from gpfn.errors import InvalidEvent, InvalidTensor, SetupError
from gpfn.function.rows import describe_model
from gpfn.limits import Limits
from gpfn.message import Message
from tests.conftest import ROOT
from tests.rows import making

FLOWERS = str(ROOT / "models" / "flowers" / "flowers.onnx")
FLOWER = {"leaf_length": 5.1, "leaf_width": 1.1, "petals": 4, "site": "hill"}
JSON, CSV = "application/json", "text/csv"
TABLE = ("name = 'a'", "name = 'b', default = 0.5", "name = 'c', dtype = 'int64'")


def answered(function: Function, body: object, media: str = JSON) -> tuple[int, str, Any]:
    """Return the status, the media type and the body of an answer."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    reply = function.answer(Message(data, media))
    text = bytes(reply.message.body).decode()
    media = reply.message.content_type
    return reply.status, media, json.loads(text) if media.endswith("json") else text


def error(function: Function, body: object, media: str = JSON) -> tuple[int, str, str]:
    status, _, document = answered(function, body, media)
    return status, document["error"].get("field", ""), document["error"]["detail"]


def test_a_real_pipeline_of_scikit_learn() -> None:
    flowers = Function(model=FLOWERS, takes="rows")
    status, media, row = answered(flowers, FLOWER)
    assert (status, media, row["output_label"]) == (200, JSON, "alba")
    assert [*row["output_probability"]] == ["alba", "lutea", "rubra"]
    assert sum(row["output_probability"].values()) == pytest.approx(1)
    assert answered(flowers, [[*FLOWER.values()]])[2] == [row]
    for each in answered(flowers, [FLOWER, FLOWER])[2]:  # ONNX Runtime rounds the last digit
        assert each["output_probability"] == pytest.approx(row["output_probability"], abs=1e-6)
    status, media, text = answered(
        flowers, "site,petals,leaf_width,leaf_length\nhill,4,1.1,5.1\n", CSV
    )
    assert (status, media) == (200, "text/csv; charset=utf-8; header=present")
    head, line, end = text.split("\r\n")
    assert head == "output_label," + ",".join(
        f"output_probability.{each}" for each in row["output_probability"]
    )
    assert line == ",".join(map(str, ["alba", *row["output_probability"].values()]))
    assert end == ""


def test_missing_values_of_the_pipeline_have_their_defaults() -> None:
    flowers = Function(model=FLOWERS, takes="rows")
    known = {"leaf_length": 6, "leaf_width": 2}
    whole = flowers({**known, "petals": 5, "site": "meadow"})
    for row in (known, {**known, "site": "?"}, {**known, "petals": None, "site": None}):
        assert flowers(row) == whole
    assert error(flowers, {"petals": 5})[:2] == (400, "body.leaf_length")


def test_every_way_of_writing_a_row_is_the_same_row() -> None:
    flowers = Function(model=FLOWERS, takes="rows")
    text = {name: str(value) for name, value in FLOWER.items()}
    assert flowers(text) == flowers(FLOWER) == flowers(**FLOWER)
    assert flowers([dict(reversed(FLOWER.items()))]) == [flowers(FLOWER)]


def test_events_are_answered_by_events() -> None:
    flowers = Function(model=FLOWERS, takes="rows")
    row = flowers(FLOWER)
    event = Event(type="seen", source="/field", data=FLOWER)
    answer = flowers(event)
    assert isinstance(answer, Event)
    assert (answer.type, answer.json()) == ("seen.response", row)
    lines = "petals,site,leaf_length,leaf_width\n4,hill,5.1,1.1\n"
    event = Event(type="seen", source="/field", data=lines.encode(), datacontenttype=CSV)
    answer = flowers(event)
    assert isinstance(answer, Event)
    assert answer.datacontenttype == "text/csv; charset=utf-8; header=present"
    assert (answer.data or b"").startswith(b"output_label,")
    with pytest.raises(InvalidTensor) as caught:
        flowers(Event(type="seen", source="/field", data=[FLOWER, {"site": "hill"}]))
    assert caught.value.field == "data[1].leaf_length"


def test_each_event_of_a_batch_is_answered_as_alone(tmp_path: Path) -> None:
    making.describe(tmp_path, *TABLE)
    scores = Function(model=str(making.classifier(tmp_path)), takes="rows")
    datas: list[Any] = [
        {"a": 1, "b": 2, "c": 3},
        [{"a": 5, "c": 0}],
        {"a": 1},
        [[1, 2, 3], [0, 9, 0]],
        {"c": 7, "a": 1},
    ]
    for function in (scores, Function(model=FLOWERS, takes="rows")):
        events = [
            {"specversion": "1.0", "id": str(n), "source": "/s", "type": "t", "data": data}
            for n, data in enumerate(datas * 2)
        ]
        message = Message(json.dumps(events).encode(), "application/cloudevents-batch+json")
        answers = json.loads(bytes(function.answer(message).message.body))
        for event, answer in zip(events, answers, strict=True):
            single = Message(json.dumps(event).encode(), "application/cloudevents+json")
            reply = function.answer(single)
            alone = json.loads(bytes(reply.message.body))
            assert answer["data"] == (alone["data"] if reply.status == 200 else alone)
            assert answer["causationid"] == event["id"]


@pytest.mark.parametrize("zipmap", [True, False])
def test_classes_come_from_the_model_or_its_description(tmp_path: Path, zipmap: bool) -> None:
    path = str(making.classifier(tmp_path, zipmap=zipmap))
    making.describe(tmp_path, *TABLE)
    row = Function(model=path, takes="rows")({"a": 1, "c": 9})
    assert isinstance(row, dict)
    assert row["label"] == "maybe"
    assert [*row["p"]] == [*making.CLASSES] if zipmap else len(row["scores"]) == 3
    (tmp_path / "names.txt").write_text("r\ns\nt\n")
    for more in ("classes = ['r', 's', 't']\n", "labels = 'names.txt'\n"):
        making.describe(tmp_path, *TABLE, more=more)
        function = Function(model=path, takes="rows")
        if zipmap:
            with pytest.raises(
                SetupError, match="the model itself calls those of p no, yes, maybe"
            ):
                function.open()
        else:
            row = function({"a": 1, "c": 9})
            assert isinstance(row, dict)
            assert [*row["scores"]] == ["r", "s", "t"]


def test_numbers_of_a_zipmap_keep_their_order_and_may_be_named(tmp_path: Path) -> None:
    path = str(making.classifier(tmp_path, numbers=[2, 10, 1]))
    for more, wanted in (
        ("", ["2", "10", "1"]),
        ("classes = ['two', 'ten', 'one']\n", ["two", "ten", "one"]),
    ):
        making.describe(tmp_path, *TABLE, more=more)
        row: Any = Function(model=path, takes="rows")({"a": 0, "b": 9, "c": 0})
        assert [*row["p"]] == wanted
        assert max(row["p"], key=row["p"].get) == wanted[1]
    (tmp_path / "text").mkdir()
    making.describe(tmp_path / "text", *TABLE, more="classes = ['maybe', 'no', 'yes']\n")
    path = str(making.classifier(tmp_path / "text"))
    row = Function(model=path, takes="rows")({"a": 0, "b": 9, "c": 0})
    assert max(row["p"], key=row["p"].get) == "yes", "the model's own order counts"


def test_a_sequence_has_its_rows_along_the_second_axis(tmp_path: Path) -> None:
    making.describe(tmp_path, *TABLE)
    path = str(making.several(tmp_path))
    function = Function(model=path, takes="rows")
    rows: list[list[float]] = [[1, 2, 3], [4, 5, 6]]
    wanted = [{"both": [row, [-each for each in row]]} for row in rows]
    assert function(rows) == wanted, "as many rows as elements of the sequence"
    assert answered(function, rows)[2] == wanted
    assert answered(function, rows[:1])[2] == wanted[:1]
    assert answered(function, "1,2,3\n", CSV)[2].split("\r\n")[1] == "1.0,2.0,3.0,-1.0,-2.0,-3.0"
    kept = Function(model=path, takes="rows", after=lambda both: {"both": both[1]})
    assert kept(rows) == [{"both": [-1, -2, -3]}, {"both": [-4, -5, -6]}]


def test_classes_of_another_number_are_refused_when_it_opens(tmp_path: Path) -> None:
    making.describe(tmp_path, *TABLE, more="classes = ['r', 's']\n")
    function = Function(model=str(making.classifier(tmp_path, zipmap=False)), takes="rows")
    assert error(function, {}) == (500, "classes", "2 names, but the model gives 3 values a row")


def test_classes_of_one_name_are_refused_when_it_opens(tmp_path: Path) -> None:
    """An object has one value of a name: the labels of ImageNet have two cranes."""
    (tmp_path / "names.txt").write_text("crane\nheron\ncrane\n")
    making.describe(tmp_path, *TABLE, more="labels = 'names.txt'\n")
    function = Function(model=str(making.classifier(tmp_path, zipmap=False)), takes="rows")
    told = "crane is there twice, and rows name values by it"
    assert error(function, {}) == (500, "classes", told)


def test_a_matrix_without_names_is_refused_with_what_to_add(tmp_path: Path) -> None:
    function = Function(model=str(making.matrix(tmp_path)), takes="rows")
    with pytest.raises(SetupError, match=r"model\.toml beside the model, such as \[\[columns\]\]"):
        function.open()


def test_a_model_of_one_row_at_a_time_answers_any_number(tmp_path: Path) -> None:
    making.describe(tmp_path, *TABLE)
    rows = [{"a": 1, "b": 2, "c": 3}, {"a": 4, "c": 6}]
    one = Function(model=str(making.matrix(tmp_path, rows=1)), takes="rows")
    assert one(rows) == [{"y": [1, 2, 3]}, {"y": [4, 0.5, 6]}]
    assert one(rows[0]) == {"y": [1, 2, 3]}
    (tmp_path / "both").mkdir()
    making.describe(tmp_path / "both", *TABLE)
    both = Function(model=str(making.several(tmp_path / "both", rows=1)), takes="rows")
    assert both(rows) == [
        {"both": [[1, 2, 3], [-1, -2, -3]]},
        {"both": [[4, 0.5, 6], [-4, -0.5, -6]]},
    ]


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 3)])
def test_a_model_of_so_many_rows_is_refused_when_it_opens(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    making.describe(tmp_path, *(TABLE if shape[1:] == (3,) else ("name = 'x'",)))
    made = making.mixed(tmp_path, {"x": "float32"}, shape[1:], rows=shape[0])
    with pytest.raises(SetupError, match="rows need a first axis that is open, or of one row"):
        Function(model=str(made), takes="rows").open()


@pytest.mark.parametrize("tail", [(1,), ()])
def test_mixed_columns_keep_their_dtypes(tmp_path: Path, tail: tuple[int, ...]) -> None:
    kinds = {"f": "float64", "i": "int64", "t": "string", "b": "bool", "j": "int64", "g": "float32"}
    function = Function(model=str(making.mixed(tmp_path, kinds, tail)), takes="rows")
    row = {"g": 0.1, "j": -1, "b": False, "t": "02139", "i": 1234567890123456789, "f": 0.1}
    assert function(row) == {f"{name}_out": row[name] for name in kinds}
    line = ",".join(str(row[name]) for name in kinds)
    assert answered(function, line, CSV)[2].split("\r\n")[1] == line.replace("False", "false")
    many = [{**row, "i": n} for n in range(50)]
    assert [each["i_out"] for each in function(many)] == [*range(50)]  # type: ignore[attr-defined]


def test_one_text_is_taken_and_given_as_text(tmp_path: Path) -> None:
    twice = Function(model=str(making.twice(tmp_path)), takes="rows")
    assert answered(twice, "tea, ", "text/plain; charset=utf-8") == (
        200, "text/plain; charset=utf-8", "tea, tea, ",
    )  # fmt: skip
    assert answered(twice, ["a", "b,"])[2] == [{"twice": "aa"}, {"twice": "b,b,"}]
    assert answered(twice, {"text": "a"})[2] == {"twice": "aa"}
    assert answered(twice, '"a"')[2] == {"twice": "aa"}
    assert answered(twice, 'text\r\n"a\nb"\r\nc\r\n', CSV)[2] == 'twice\r\n"a\nba\nb"\r\ncc\r\n'
    assert twice("ab") == {"twice": "abab"}
    assert twice(["a", "\u00e4"]) == [{"twice": "aa"}, {"twice": "\u00e4\u00e4"}]
    assert error(twice, "", "text/plain") == (400, "body", "empty; expected text")
    event = Event(type="said", source="/s", data=b"hey", datacontenttype="text/plain")
    answer = twice(event)
    assert isinstance(answer, Event)
    assert (answer.data, answer.datacontenttype) == (b"heyhey", "text/plain; charset=utf-8")


def test_functions_of_texts_get_and_give_str() -> None:
    def measured(text: Any) -> dict[str, Any]:
        assert {*map(type, text.tolist())} == {str}
        return {"length": np.array([len(each) for each in text]), "twice": text + text}

    function = Function(measured, inputs={"text": TensorSpec("string", (None,))}, takes="rows")
    assert function(["ab", "\u00e4"]) == [
        {"length": 2, "twice": "abab"}, {"length": 1, "twice": "\u00e4\u00e4"},
    ]  # fmt: skip
    assert answered(function, "abc", "text/plain")[2] == {"length": 3, "twice": "abcabc"}


def test_a_handler_answers_what_it_likes() -> None:
    specs = {"a": TensorSpec("float32", (None,)), "n": TensorSpec("int64", (None,))}
    each = Function(lambda a, n: a * n, inputs=specs, takes="rows", output="product")
    assert answered(each, [{"a": 1.5, "n": 2}, {"n": 3, "a": 1}])[2] == [
        {"product": 3.0}, {"product": 3.0},
    ]  # fmt: skip
    total = Function(lambda a, n: {"total": float((a * n).sum())}, inputs=specs, takes="rows")
    assert answered(total, [[1, 2], [3, 4]])[2] == {"total": 14.0}
    assert answered(total, "1,2\n3,4\n", CSV)[1:] == (JSON, {"total": 14.0})
    lost = Function(lambda a, n: a[:1] * n[:1] * np.nan, inputs=specs, takes="rows")
    assert answered(lost, [[1, 2], [3, 4]])[2] == [None]


def test_steps_around_a_model_get_arrays_by_name(tmp_path: Path) -> None:
    path = str(making.mixed(tmp_path, {"a": "float32", "b": "float32"}))

    def ratio(a: Any, b: Any) -> dict[str, Any]:
        return {"a": a / b, "b": b}

    function = Function(model=path, takes="rows", before=ratio, after=lambda a_out, b_out: a_out)
    assert function([{"a": 6, "b": 3}, {"a": 1, "b": 2}]) == [{"output": 2.0}, {"output": 0.5}]


def test_numbers_that_are_none_are_told() -> None:
    specs = {"a": TensorSpec("float32", (None,))}
    function = Function(lambda a: np.log(a) + 0, inputs=specs, takes="rows", output="log")
    with np.errstate(all="ignore"):
        reply = function.answer(Message(b'{"a": -1}', JSON))
    assert (bytes(reply.message.body), reply.message.headers) == (
        b'{"log":null}', (("gpfn-nonfinite", "true"),),
    )  # fmt: skip
    refusing = Function(lambda a: np.log(a) + 0, inputs=specs, takes="rows", nonfinite="refuse")
    with np.errstate(all="ignore"):
        assert refusing.answer(Message(b'{"a": -1}', JSON)).status == 502


def test_parameters_of_an_action_are_set_aside() -> None:
    flowers = Function(model=FLOWERS, takes="rows")
    reply = flowers.answer(Parsed({**FLOWER, "token": "hunter2"}, mixed=True))
    assert json.loads(bytes(reply.message.body)) == flowers(FLOWER)


@pytest.mark.parametrize(
    ("body", "media", "status", "field", "told"),
    [
        ("", JSON, 400, "body", "empty; expected rows as JSON"),
        ("", CSV, 400, "body", "empty; expected rows"),
        ("{", JSON, 400, "body", "not JSON"),
        ("\x00\x01", "application/octet-stream", 415, "body", "no rows in application/oct"),
        ("leaf_length;leaf_width;petals;site\n1;2;3;x", CSV, 400, "body:1", "if semicolons"),
        ('[{"leaf_length": 1, "leaf_width": 1, "colour": "hunter2"}]', JSON, 400, "body[0].colour",
         "unknown column colour"),
        ('[{"leaf_length": "hunter2", "leaf_width": 1}]', JSON, 400, "body[0].leaf_length",
         "got text"),
    ],
)  # fmt: skip
def test_bad_requests(body: str, media: str, status: int, field: str, told: str) -> None:
    found = error(Function(model=FLOWERS, takes="rows"), body, media)
    assert found[:2] == (status, field)
    assert told in found[2]
    assert "hunter2" not in found[2]


def test_a_million_rows_are_refused_before_they_cost_memory() -> None:
    specs = {"n": TensorSpec("float32", (None,))}
    function = Function(lambda n: -n, inputs=specs, takes="rows")
    for body, media in (
        ("[" + "[1]," * 999_999 + "[1]]", JSON),
        ("[" + "{}," * 999_999 + "{}]", JSON),
        ("1\n" * 1_000_000, CSV),
    ):
        message = Message(body.encode(), media)
        function.answer(message)
        tracemalloc.start()
        try:
            reply = function.answer(message)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        problem = json.loads(bytes(reply.message.body))["error"]
        told = "more than 100000 rows; GPFN_MAX_ROWS sets this"
        assert (reply.status, problem["field"], problem["detail"]) == (413, "body", told)
        assert peak < 12 * len(body) < 50_000_000
    small = Function(lambda n: -n, inputs=specs, takes="rows", limits=Limits(rows=2))
    assert error(small, "[1, 2, 3]")[0] == 413
    assert len(function([1.0] * 100_000)) == 100_000  # type: ignore[arg-type]


def test_events_without_data_and_other_json(tmp_path: Path) -> None:
    flowers = Function(model=FLOWERS, takes="rows")
    with pytest.raises(InvalidEvent, match="missing; this function takes rows"):
        flowers(Event(type="seen", source="/field"))
    assert answered(flowers, FLOWER, "application/vnd.rows+json")[2] == flowers(FLOWER)
    assert answered(flowers, FLOWER, "")[2] == flowers(FLOWER)


def test_a_plain_call_gives_what_a_handler_returned() -> None:
    specs = {"a": TensorSpec("float32", (None,))}
    counted = Function(lambda a: {"n": len(a)}, inputs=specs, takes="rows")
    assert counted([1, 2]) == {"n": 2}
    told = Function(lambda a, call: call.platform, inputs=specs, takes="rows")
    assert answered(told, [1])[1:] == ("text/plain; charset=utf-8", "call")


def test_a_plain_call_takes_numbers_of_numpy() -> None:
    function = Function(
        lambda a, b: {"sum": a + b},
        inputs={"a": TensorSpec("float32", (None,)), "b": TensorSpec("int64", (None,))},
        takes="rows",
    )
    assert function({"a": np.float32(0.5), "b": np.int64(2)}) == {"sum": 2.5}
    assert function([(np.float32(0.5), 2)]) == [{"sum": 2.5}]
    assert function(np.array([[1.0, 2.0]])) == [{"sum": 3.0}]
    with pytest.raises(InvalidTensor, match=r"expected a number .float32., got a bytes"):
        function({"a": b"1", "b": 2})


def test_what_is_known_of_a_model_is_beside_it_or_in_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    making.classifier(tmp_path, zipmap=False)
    columns = ", ".join(f"{{ {column} }}" for column in TABLE)
    (tmp_path / "ours.toml").write_text(
        '[models.scores]\ntitle = "t"\nlicence = "l"\nsource = "s"\nmodel = "m.onnx"\n'
        f'files."m.onnx" = {{}}\nclasses = ["r", "s", "t"]\ncolumns = [{columns}]\n'
    )
    monkeypatch.setenv("GPFN_CATALOGUE", str(tmp_path / "ours.toml"))
    function = Function(model=("env:NO_SUCH_MODEL", "catalogue:scores"), takes="rows")
    row = function({"a": 1, "c": 2})
    assert isinstance(row, dict)
    assert [*row["scores"]] == ["r", "s", "t"]
    told = describe_model(str(tmp_path / "m.onnx"), ["catalogue:none", "catalogue:scores"])
    assert told is not None
    assert told.title == "t"
    assert describe_model(str(tmp_path / "n.onnx"), ["catalogue:scores"]) is None
    assert describe_model("http://127.0.0.1:9/x", ["catalogue:scores"]) is None


def test_a_python_function_that_declares_nothing_takes_the_classes_as_they_are(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.py").write_text("def predict(a, b):\n    return {'p': a + b}\n")
    (tmp_path / "model.toml").write_text('model = "own.py:predict"\nclasses = ["one"]\n')
    specs = {name: TensorSpec("float32", (None, 1)) for name in "ab"}
    function = Function(model=f"{tmp_path}/own.py:predict", inputs=specs, takes="rows")
    assert function([{"a": 1, "b": 2}]) == [{"p": {"one": 3.0}}]


def test_a_function_of_rows_is_not_served_as_arrays() -> None:
    with pytest.raises(
        SetupError, match="takes rows; what is served takes arrays; ask it with gpfn invoke"
    ):
        Function(model=FLOWERS, takes="rows").as_model()
    with pytest.raises(SetupError, match="declare the arrays") as caught:
        Function(np.negative, takes="rows")
    assert caught.value.field == "inputs"
