"""A classifier of one's own model: said in the call or in a model.toml, checked when it opens."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import TensorProto, helper
from PIL import Image

from gpfn.classifier import Classifier, ImageInput
from gpfn.errors import GpfnError, InvalidRequest, ModelUnreadable, SetupError
from gpfn.function.function import Function
from gpfn.images.preparation import prepare
from gpfn.limits import Limits
from gpfn.message import Message
from gpfn.models import open_model
from tests.images.making import blank_png, encoded, stored
from tests.models.making_images import NAMES, colour, colour_model, save, shade_model

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
CHW = ImageInput(size=(8, 8), channels="first", unit=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A function's folder, with labels in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(NAMES) + "\n")
    return tmp_path


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(function: Function, value: object) -> tuple[int, Any]:
    reply = function.answer(Message(orjson.dumps(value), "application/json"))
    return reply.status, orjson.loads(reply.message.body)


def best(function: Function, data: bytes) -> str:
    status, answer = ask(function, {"image": text(data)})
    assert status == 200, answer
    return str(answer["results"][0]["className"])


def refused(**given: Any) -> GpfnError:
    """Return the error with which a function of ``model.onnx`` does not open: one line."""
    with pytest.raises(SetupError) as caught:
        Function(Classifier("model.onnx", **given)).open()
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_model_of_ones_own_by_what_is_said_in_the_call(folder: Path) -> None:
    colour_model(folder / "model.onnx")
    function = Function(
        Classifier("model.onnx", labels="labels.txt", input=CHW, softmax=True, topk=2)
    )
    assert function.models == ("model.onnx",)
    function.open()
    status, answer = ask(function, {"image": text(colour(GREEN))})
    assert status == 200
    assert answer["results"][0] == {"className": "green", "probability": 0.576117}
    assert len(answer["results"]) == 2
    _, answer = ask(function, {"image": text(colour(GREEN)), "threshold": 0.5, "topk": 3})
    assert [each["className"] for each in answer["results"]] == ["green"]
    for wrong in (-0.1, 1.5, "much", True, [0.5], "9" * 5000):
        status, answer = ask(function, {"image": text(colour(GREEN)), "threshold": wrong})
        assert (status, answer["error"]["field"]) == (400, "threshold")


def test_bytes_in_a_plain_call_are_told_to_be_no_json(folder: Path) -> None:
    colour_model(folder / "model.onnx")
    function = Function(Classifier("model.onnx", labels="labels.txt", input=CHW, softmax=True))
    with pytest.raises(InvalidRequest, match=r"no value of JSON: .*bytes"):
        function({"image": colour(GREEN)})
    assert function(colour(GREEN))["results"][0]["className"] == "green"


def test_a_threshold_in_the_call_leaves_softmax_to_the_model_toml(folder: Path) -> None:
    colour_model(folder / "model.onnx")
    (folder / "model.toml").write_text(
        'model = "model.onnx"\nlabels = "labels.txt"\n'
        "scores = { softmax = true, threshold = 0.9 }\n"
        'image = { size = 8, channels = "first", unit = true }\n'
    )
    function = Function(Classifier("model.onnx", threshold=0.1))
    _, answer = ask(function, {"image": text(colour(GREEN))})
    assert answer["results"][0] == {"className": "green", "probability": 0.576117}
    function = Function(Classifier("model.onnx", sigmoid=True))  # not of both kinds
    _, answer = ask(function, {"image": text(colour(GREEN)), "threshold": 0})
    assert answer["results"][0] == {"className": "green", "probability": 0.731059}


def test_a_model_toml_says_the_same(folder: Path) -> None:
    colour_model(folder / "model.onnx")
    (folder / "model.toml").write_text(
        'model = "model.onnx"\nlabels = "labels.txt"\nscores = { softmax = true }\n'
        '[image]\nsize = [8, 8]\nchannels = "first"\nunit = true\n'
    )
    said = Function(Classifier("model.onnx", labels="labels.txt", input=CHW, softmax=True))
    described = Function(Classifier("model.onnx"))
    for data in (colour(RED), colour((9, 30, 200)), colour(BLUE, "JPEG")):
        assert ask(described, {"image": text(data)}) == ask(said, {"image": text(data)})
    own = Function(Classifier("model.onnx", labels=["a", "b", "c"]))  # what is said comes first
    assert best(own, colour(BLUE)) == "c"


def test_several_images_get_a_result_each(folder: Path) -> None:
    """One bad picture does not lose the others, and the order is that of the request."""
    for batch in ("n", 1, 3):
        path = colour_model(folder / f"batch{batch}.onnx", batch=batch)
        function = Function(Classifier(path.name, labels="labels.txt", input=CHW, softmax=True))
        sent = [colour(RED), b"no picture", colour(BLUE), blank_png((19_000, 19_000), 1, 0)]
        status, answer = ask(function, {"images": [*map(text, sent), 7, text(colour(GREEN))]})
        assert status == 200
        told = [
            each["results"][0]["className"] if "results" in each else each["error"]["field"]
            for each in answer["images"]
        ]
        assert told == ["red", "images[1]", "blue", "images[3]", "images[4]", "green"]
        assert answer["images"][3]["error"]["status"] == 413
        alone = ask(function, {"image": text(colour(BLUE))})[1]
        assert answer["images"][2] == alone
    status, answer = ask(function, [text(colour(RED))] * 20)  # a bare list, of several slices
    assert [each["results"][0]["className"] for each in answer["images"]] == ["red"] * 20
    status, answer = ask(function, {"images": [text(b"x")]})
    assert (status, answer["images"][0]["error"]["type"]) == (200, "invalid-image")


def test_several_images_of_a_form(folder: Path) -> None:
    colour_model(folder / "model.onnx")
    function = Function(Classifier("model.onnx", labels="labels.txt", input=CHW, softmax=True))
    form = b"".join(
        b'--x\r\ncontent-disposition: form-data; name="images"; filename="a"\r\n\r\n%b\r\n' % data
        for data in (colour(RED), colour(GREEN))
    )
    reply = function.answer(Message(form + b"--x--\r\n", "multipart/form-data; boundary=x"))
    assert reply.status == 200, reply.message.body
    answer = orjson.loads(reply.message.body)
    assert [each["results"][0]["className"] for each in answer["images"]] == ["red", "green"]


@pytest.mark.parametrize(
    ("value", "field", "detail"),
    [
        ({"images": []}, "images", "empty"),
        ({"images": "abc"}, "images", "expected a list of images, got str"),
        ({"images": ["a"] * 4}, "images", "4 images; at most 3 (GPFN_MAX_BATCH)"),
        ({"images": ["a"], "image": "a"}, "images", "not both"),
        ([], "images", "empty"),
        ([1], "body", "a list of images in base64, got list"),
    ],
)
def test_a_wrong_list_is_refused_as_a_whole(
    folder: Path, value: object, field: str, detail: str
) -> None:
    colour_model(folder / "model.onnx")
    handler = Classifier("model.onnx", labels="labels.txt", input=CHW, softmax=True)
    function = Function(handler, limits=Limits())
    handler._limits = Limits(batch=3)
    status, answer = ask(function, value)
    assert 400 <= status < 500
    assert answer["error"]["field"] == field
    assert detail in answer["error"]["detail"]


def test_each_class_stands_alone_with_multilabel(folder: Path) -> None:
    """All of at least the threshold, highest first; none is an answer too."""
    colour_model(folder / "model.onnx", end="Sigmoid")
    bright = ImageInput(size=8, channels="first", mean=127.5, std=25.5)
    function = Function(
        Classifier("model.onnx", labels="labels.txt", input=bright, multilabel=True, threshold=0.9)
    )
    for rgb, names in (
        ((255, 0, 250), ["red", "blue"]),
        ((250, 255, 251), ["green", "blue", "red"]),
        ((0, 0, 0), []),
    ):
        _, answer = ask(function, {"image": text(colour(rgb))})
        assert [each["className"] for each in answer["results"]] == names
    _, answer = ask(function, {"image": text(colour((250, 255, 251))), "topk": 1})
    assert [each["className"] for each in answer["results"]] == ["green"]
    colour_model(folder / "logits.onnx")
    logits = Function(
        Classifier("logits.onnx", labels="labels.txt", input=bright, sigmoid=True, multilabel=True)
    )
    _, answer = ask(logits, {"image": text(colour((255, 0, 250)))})
    assert [each["className"] for each in answer["results"]] == ["red", "blue"]


def test_one_score_of_two_labels_is_the_second_class(folder: Path) -> None:
    """As Keras' Dense(1, activation='sigmoid') gives it."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["scores"], axes=(1, 2, 3), keepdims=0),
    ]
    save(folder / "model.onnx", nodes, {"scores": (TensorProto.FLOAT, ("n",))})
    function = Function(Classifier("model.onnx", labels=["cat", "dog"], input=CHW))
    _, answer = ask(function, {"image": text(colour((51, 51, 51)))})
    assert answer["results"] == [
        {"className": "cat", "probability": 0.8},
        {"className": "dog", "probability": 0.2},
    ]
    assert "one score alone" in refused(labels=["cat", "dog"], input=CHW, softmax=True).detail


def test_of_several_outputs_one_is_named(folder: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["scores"], axes=(2, 3), keepdims=0),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    outputs = {
        "label": (TensorProto.INT64, ("n",)),
        "probabilities": (TensorProto.FLOAT, ("n", 3)),
    }
    save(folder / "model.onnx", nodes, outputs)
    given = {"labels": "labels.txt", "input": CHW}
    error = refused(**given)
    assert error.field == "output"
    assert "name the one that has the scores: output = 'probabilities'" in error.detail
    assert refused(**given, output="logits").detail.endswith("not 'logits'")
    function = Function(Classifier("model.onnx", **given, output="probabilities"))  # type: ignore[arg-type]
    assert best(function, colour(BLUE)) == "blue"


def test_the_order_of_classes_is_the_label_files(folder: Path) -> None:
    """Trained on the folders 1 to 12, which a file system lists as 1, 10, 11, 12, 2, …"""
    shade_model(folder / "model.onnx", 12)
    trained = sorted(str(number) for number in range(1, 13))
    (folder / "labels.txt").write_text("\n".join(trained))
    plain = ImageInput(size=8, channels="first")
    function = Function(Classifier("model.onnx", labels="labels.txt", input=plain, softmax=True))
    for number in ("2", "10", "12", "9"):
        shade = 20 * trained.index(number)
        assert best(function, colour((shade, shade, shade))) == number


def test_a_picture_in_any_form_is_of_the_same_class(folder: Path) -> None:
    """Turned by EXIF, with alpha, of a palette, grey, of 16 bits: prepared in one place."""
    from tests.images.making import exif

    nodes = [  # the top left quarter's colours: a turned picture would not be red there
        helper.make_node("Slice", ["image", "start", "end", "axes"], ["corner"]),
        helper.make_node("ReduceMean", ["corner"], ["scores"], axes=(2, 3), keepdims=0),
    ]
    corner = {
        "start": np.array([0, 0], np.int64),
        "end": np.array([3, 1], np.int64),
        "axes": np.array([2, 3], np.int64),
    }
    save(folder / "model.onnx", nodes, {"scores": (TensorProto.FLOAT, ("n", 3))}, **corner)
    function = Function(Classifier("model.onnx", labels="labels.txt", input=CHW, softmax=True))
    answers = []
    for orientation in range(1, 9):
        tag = b"Exif\0\0" + exif(orientation)
        data = encoded(stored(orientation), "JPEG", exif=tag, quality=95)
        answers.append(ask(function, {"image": text(data), "topk": 1})[1]["results"][0])
    assert {each["className"] for each in answers} == {"red"}
    scores = [each["probability"] for each in answers]
    assert max(scores) - min(scores) < 1e-3
    upright = Image.open(io.BytesIO(encoded(stored(1), "PNG")))
    for mode in ("RGBA", "P", "L", "LA", "1", "I;16"):
        wide = upright.convert("L").convert("I;16") if mode == "I;16" else upright.convert(mode)
        status, _ = ask(function, {"image": text(encoded(wide, "PNG"))})
        assert status == 200, mode


@pytest.mark.parametrize("dtype", ["FLOAT16", "DOUBLE", "UINT8", "INT8", "INT32"])
def test_inputs_of_any_number(folder: Path, dtype: str) -> None:
    """Bytes stay bytes whatever the input is of; an int8 model gets them less 128."""
    number = getattr(TensorProto, dtype)
    colour_model(folder / "model.onnx", dtype=number, layout="NHWC", end="Softmax")
    function = Function(Classifier("model.onnx", labels=NAMES, input=ImageInput(size=8)))
    assert [best(function, colour(each)) for each in (RED, GREEN, BLUE)] == [*NAMES]
    scaled = ImageInput(size=8, unit=True)
    if dtype in ("FLOAT16", "DOUBLE"):
        assert best(Function(Classifier("model.onnx", labels=NAMES, input=scaled)), colour(RED))
    else:
        error = refused(labels=NAMES, input=scaled)
        assert "leave out mean and std for its bytes" in error.detail


def test_what_is_prepared_in_training_is_what_is_served(folder: Path, shared: Path) -> None:
    """Golden pictures through the real MobileNet: the same to the last digit either way."""
    name = "mobilenet_v1_0.25_128_quant.tflite"
    model_file = shared / "data/models" / name
    spec = ImageInput(size=128, crop="center")
    labels = shared / "data/models/imagenet_labels.txt"
    function = Function(Classifier(str(model_file), labels=str(labels), input=spec, topk=1001))
    model = open_model(model_file)
    for picture in ("burger.jpg", "cat_720p.jpg", "mug.png"):
        data = (shared / "data/images" / picture).read_bytes()
        (scores,) = model({model.inputs[0].name: prepare(data, spec, 24_000_000)}).values()
        wanted = model.quantization[model.outputs[0].name].dequantize(scores)[0]  # type: ignore[attr-defined]
        answer = ask(function, {"image": text(data)})[1]["results"]
        assert answer[0]["probability"] == pytest.approx(wanted.max(), abs=1e-6)
        found = sorted((each["probability"] for each in answer), reverse=True)
        np.testing.assert_allclose(found, np.sort(wanted)[::-1], atol=1e-6)


def test_a_quantised_model_may_be_told_mean_and_std(folder: Path, shared: Path) -> None:
    """Its input stands for numbers of -1 to 1: those come to nearly the same bytes."""
    model = str(shared / "data/models/mobilenet_v1_0.25_128_quant.tflite")
    labels = str(shared / "data/models/imagenet_labels.txt")
    data = (shared / "data/images/burger.jpg").read_bytes()
    for spec in (
        ImageInput(size=128, crop="center"),
        ImageInput(size=128, crop="center", mean=128, std=128),
    ):
        assert best(Function(Classifier(model, labels=labels, input=spec)), data) == "cheeseburger"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "labels.txt: no labels in it; write one a line"),
        (b"\n\n", "labels.txt: no labels in it"),
        (b"red\n\nblue\n", "labels.txt: line 2 is empty; write one a line"),
        (b"red\ngreen\n", "labels.txt has 2 labels for 3 classes; write one a line, in the order"),
        (b"red\ngreen\nblue\nwhite\n", "labels.txt has 4 labels for 3 classes"),
        (b"caf\xe9\nb\nc\n", "labels.txt: labels that are not UTF-8; save it as UTF-8"),
    ],
)
def test_a_wrong_label_file_is_told_when_the_function_opens(
    folder: Path, content: bytes, told: str
) -> None:
    colour_model(folder / "model.onnx")
    (folder / "labels.txt").write_bytes(content)
    error = refused(labels="labels.txt", input=CHW, softmax=True)
    assert isinstance(error, ModelUnreadable)
    assert told in error.detail


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfred\r\ngreen\r\nblue\r\n", b"red\rgreen\rblue", b"red\ngreen\nblue\n\n"],
)
def test_label_files_of_any_editor(folder: Path, content: bytes) -> None:
    colour_model(folder / "model.onnx")
    (folder / "labels.txt").write_bytes(content)
    function = Function(Classifier("model.onnx", labels="labels.txt", input=CHW, softmax=True))
    assert [best(function, colour(each)) for each in (RED, BLUE)] == ["red", "blue"]


def test_labels_beside_the_model_or_the_function(folder: Path) -> None:
    (folder / "models").mkdir()
    colour_model(folder / "models/m.onnx")
    handlers = [
        Classifier("models/m.onnx", labels="labels.txt", input=CHW, softmax=True) for _ in range(2)
    ]
    assert best(Function(handlers[0]), colour(RED)) == "red"
    (folder / "labels.txt").replace(folder / "models/labels.txt")
    assert best(Function(handlers[1]), colour(RED)) == "red"
    missing = Classifier("models/m.onnx", labels="names.txt", input=CHW)
    with pytest.raises(ModelUnreadable, match=r"labels: names\.txt is neither in .*models nor in"):
        Function(missing).open()


def test_labels_that_the_number_of_scores_belies(folder: Path) -> None:
    """A model may leave the number of its classes open: a call tells."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["scores"], axes=(2, 3), keepdims=0)]
    save(folder / "model.onnx", nodes, {"scores": (TensorProto.FLOAT, ("n", "classes"))})
    error = refused(labels=["a", "b"], input=CHW, softmax=True)
    assert "2 labels for 3 classes" in error.detail


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        (
            {"labels": "labels.txt"},
            "input",
            'write a model.toml beside it with [image] size = [8, 8], channels = "first"',
        ),
        (
            {"labels": "labels.txt", "input": ImageInput(size=9, channels="first")},
            "input",
            'becomes uint8 (any, 3, 9, 9); for that model: size = [8, 8], channels = "first"',
        ),
        (
            {"labels": "labels.txt", "input": ImageInput(size=8)},
            "input",
            'for that model: size = [8, 8], channels = "first"',
        ),
        ({"input": CHW}, "labels", "give labels=FILE, or name it in a model.toml"),
        (
            {"labels": "labels.txt", "input": ImageInput(size=8, channels="first")},
            "scores",
            "are no probabilities; if they are logits, say softmax",
        ),
        ({"labels": "labels.txt", "input": CHW, "output": "x"}, "output", "not 'x'"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told_with_what_to_write(
    folder: Path, given: dict[str, Any], field: str, told: str
) -> None:
    colour_model(folder / "model.onnx")
    error = refused(**given)
    assert error.field == field
    assert told in error.detail


def test_a_softmax_too_many_is_told(folder: Path) -> None:
    colour_model(folder / "model.onnx", end="Softmax")
    error = refused(labels=NAMES, input=CHW, softmax=True)
    assert error.field == "softmax"
    assert "are probabilities already" in error.detail


@pytest.mark.parametrize(
    ("names", "given", "field"),
    [
        ((), {}, "names"),
        (("a", "b"), {"labels": "x"}, "names"),
        (("a",), {"softmax": True, "sigmoid": True}, "softmax"),
        (("a",), {"softmax": True, "multilabel": True}, "softmax"),
        (("a",), {"threshold": 2}, "threshold"),
        (("a",), {"threshold": True}, "threshold"),
    ],
)
def test_what_contradicts_itself_is_told_where_it_is_written(
    names: tuple[str, ...], given: dict[str, Any], field: str
) -> None:
    with pytest.raises(SetupError) as caught:
        Classifier(*names, **given)
    assert caught.value.field == field


def test_a_model_that_is_none_or_that_cannot_run_is_told_in_one_line(folder: Path) -> None:
    """Those errors are the model layer's; what is wrong is known before the first picture."""
    (folder / "model.onnx").write_bytes(b"")
    assert "empty" in refused(labels=NAMES, input=CHW).detail
    (folder / "model.onnx").write_bytes(b"no model at all" * 10)
    assert refused(labels=NAMES, input=CHW).detail
    Path("other.onnx").write_bytes(colour_model(folder / "right.onnx").read_bytes())
    Path("other.onnx").replace(folder / "model.tflite")
    with pytest.raises(ModelUnreadable, match="ONNX"):
        Function(Classifier("model.tflite", labels=NAMES, input=CHW)).open()
    nodes = [helper.make_node("Strange", ["image"], ["scores"], domain="elsewhere")]
    save(folder / "model.onnx", nodes, {"scores": (TensorProto.FLOAT, ("n", 3))})
    assert "Strange" in refused(labels=NAMES, input=CHW).detail
    nodes = [helper.make_node("ReduceMean", ["image"], ["scores"], axes=(2, 3), keepdims=0)]
    save(folder / "model.onnx", nodes, {"scores": (TensorProto.FLOAT, ("n", 3))}, opset=99)
    with pytest.raises(ModelUnreadable, match="opset"):
        Function(Classifier("model.onnx", labels=NAMES, input=CHW)).open()
    with pytest.raises(ModelUnreadable, match=r"absent\.onnx is neither in"):
        Function(Classifier("absent.onnx", labels=NAMES, input=CHW)).open()


def test_a_wrong_model_toml_is_told_with_its_key(folder: Path) -> None:
    colour_model(folder / "model.onnx")
    for line, field in (
        ("[image]\nsize = 8\nchannels = 'rgb'", "image.channels"),
        ("[scores]\nsoftmax = true\nsigmoid = true", "scores.softmax"),
        ("[image]\nsize = 8\nmean = 0.5\nstd = 0.5", "image.std"),
    ):
        (folder / "model.toml").write_text(f'model = "model.onnx"\n{line}\n')
        error = refused()
        assert error.field == field
        assert "model.toml" in error.detail


def test_a_small_file_of_a_huge_picture_costs_nothing(folder: Path) -> None:
    """19,000 x 19,000 pixels in 44 kB: refused by the header."""
    import resource

    colour_model(folder / "model.onnx")
    function = Function(Classifier("model.onnx", labels=NAMES, input=CHW, softmax=True))
    huge = blank_png((19_000, 19_000), 1, 0)
    assert len(huge) < 250_000
    assert best(function, colour(RED)) == "red"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for value in ({"image": text(huge)}, {"images": [text(huge)]}):
        _, answer = ask(function, value)
        error = answer["error"] if "error" in answer else answer["images"][0]["error"]
        assert (error["status"], error["type"]) == (413, "too-large")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4000  # kB


def test_what_is_no_picture_is_named(folder: Path) -> None:
    colour_model(folder / "model.onnx")
    function = Function(Classifier("model.onnx", labels=NAMES, input=CHW, softmax=True))
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    avif = encoded(Image.new("RGB", (8, 8)), "AVIF")
    for data, told in ((heic, "this is a HEIC photo"), (avif, "this is an AVIF image; convert it")):
        _, answer = ask(function, {"images": [text(data), text(colour(RED))]})
        assert told in answer["images"][0]["error"]["detail"]
        assert "JPEG" in answer["images"][0]["error"]["detail"]
        assert answer["images"][1]["results"][0]["className"] == "red"


def test_a_score_that_is_no_number_is_that_pictures_alone(folder: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=(2, 3), keepdims=0),
        helper.make_node("Log", ["mean"], ["log"]),  # of -1: not a number
        helper.make_node("Exp", ["log"], ["scores"]),
    ]
    save(folder / "model.onnx", nodes, {"scores": (TensorProto.FLOAT, ("n", 3))})
    spec = ImageInput(size=8, channels="first", mean=127.5, std=127.5)
    function = Function(Classifier("model.onnx", labels=NAMES, input=spec))
    status, answer = ask(function, {"images": [text(colour((255,) * 3)), text(colour((0,) * 3))]})
    assert status == 200
    assert answer["images"][0]["results"]
    assert answer["images"][1]["error"]["type"] == "model-failed"
    assert ask(function, {"image": text(colour((0,) * 3))})[0] == 502


def test_names_that_the_model_has_itself(folder: Path) -> None:
    """As skl2onnx puts them into a ZipMap."""
    names = ["red", "green", "blue"]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["scores"], axes=(2, 3), keepdims=0),
        helper.make_node("Softmax", ["scores"], ["soft"]),
        helper.make_node(
            "ZipMap", ["soft"], ["maps"], domain="ai.onnx.ml", classlabels_strings=names
        ),
    ]
    pairs = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    )
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", 3, 8, 8))
    maps = helper.make_value_info("maps", helper.make_sequence_type_proto(pairs))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "g", [image], [maps])
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    function = Function(Classifier("model.onnx", input=CHW))
    assert best(function, colour(BLUE)) == "blue"


def test_a_model_behind_a_server(folder: Path) -> None:
    """Labels and input are said in the call; what does not fit is told with the first one."""
    from gpfn.serving import Server

    colour_model(folder / "model.onnx")
    with Server({"colours": str(folder / "model.onnx")}) as server:
        for uri in (server.url, f"{server.url}/v2/models/colours"):
            handler = Classifier(uri, labels="labels.txt", input=CHW, softmax=True)
            function = Function(handler)
            _, answer = ask(function, {"images": [text(colour(RED)), text(colour(GREEN))]})
            told = [each["results"][0]["className"] for each in answer["images"]]
            assert told == ["red", "green"]
        wrong = Function(Classifier(uri, labels=["a", "b"], input=CHW, softmax=True))
        wrong.open()
        status, answer = ask(wrong, {"image": text(colour(RED))})
        assert (status, answer["error"]["field"]) == (500, "labels")


def test_what_is_no_image_classifier_is_told(folder: Path) -> None:
    with pytest.raises(ModelUnreadable, match="forecast is no image classifier"):
        Function(Classifier("forecast")).open()
    nodes = [helper.make_node("ReduceMean", ["image"], ["scores"], axes=(1,), keepdims=0)]
    save(folder / "model.onnx", nodes, {"scores": (TensorProto.FLOAT, ("n",))}, shape=("n", 9))
    error = refused(labels=NAMES, input=CHW)
    assert "for that model: an input of a batch, height, width and channels" in error.detail
    (folder / "two.py").write_text(
        "import numpy as np\n"
        "def two(a: np.ndarray, b: np.ndarray) -> np.ndarray:\n    return a + b\n"
    )
    with pytest.raises(SetupError, match="an image classifier has one input; the model takes"):
        Function(Classifier("two.py:two", labels=NAMES, input=CHW)).open()


def test_a_model_that_gives_other_rows_than_it_was_given(folder: Path) -> None:
    nodes = [helper.make_node("Slice", ["image", "start", "end"], ["scores"])]
    cut = {"start": np.array([0, 0], np.int64), "end": np.array([2, 3], np.int64)}
    outputs = {"scores": (TensorProto.FLOAT, ("m", 3, 1, 1))}
    shape = ("n", 3, 1, 1)
    save(folder / "model.onnx", nodes, outputs, shape=shape, **cut)
    spec = ImageInput(size=1, channels="first", unit=True)
    function = Function(Classifier("model.onnx", labels=NAMES, input=spec))
    assert ask(function, {"images": [text(colour(RED))] * 2})[0] == 200
    status, answer = ask(function, {"images": [text(colour(RED))] * 3})
    assert (status, answer["error"]["type"]) == (502, "model-failed")
    assert "for 3 pictures" in answer["error"]["detail"]
