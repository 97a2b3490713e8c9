"""The client of picture pipelines, against servers that compute what the tests say."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gpfn import Function, TensorSpec
from gpfn.classy import client as module
from gpfn.classy.answers import ImageClass
from gpfn.classy.asked import Ask, asked_model, asked_server, is_url
from gpfn.classy.client import ClassyClient, ImageResult
from gpfn.deadline import Deadline
from gpfn.errors import CannotConnect, InvalidImage, Overloaded, RefusedByModel, SetupError
from gpfn.models.pipeline import Pipeline, Stage
from gpfn.scope import SCOPE, Took
from gpfn.serving import Server
from gpfn.serving.settings import ServerSettings

PNG = b"\x89PNG\r\n\x1a\n"
LABELS = ("background", *[f"class {number}" for number in range(1000)])
STRINGS = TensorSpec("string", (None,))

Array = np.ndarray


def number_of(content: bytes) -> int:
    """Return what a picture of these tests shows: the number behind its first bytes or its name."""
    return int(content.removeprefix(PNG).rpartition(b"/")[2])


def strings(*texts: bytes) -> Array:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def scores_of(images: Array, dtype: str = "uint8") -> Array:
    scores = np.zeros((len(images), 1001), dtype)
    for row, content in enumerate(images):
        scores[row, number_of(content) + 1] = 100
        scores[row, 0] = 20
    return scores


def fetch(images: Array) -> dict[str, Array]:
    """Give addresses the content that they name; one that says bad has a problem."""
    bad = [b"bad" in each for each in images]
    found = [PNG + b"0" if wrong else PNG + each.rpartition(b"/")[2].removeprefix(PNG)
             for each, wrong in zip(images, bad, strict=True)]  # fmt: skip
    return {
        "images": strings(*found),
        "fetch_problems": strings(*[b"cannot be fetched" if wrong else b"" for wrong in bad]),
    }


def score(images: Array) -> dict[str, Array]:
    problems = [b"no image" if number_of(each) == 0 else b"" for each in images]
    return {"scores": scores_of(images), "image_problems": strings(*problems)}


def model_of(function: Callable[[Array], Mapping[str, Array]]):
    return Function(function, inputs={"images": STRINGS}, name=function.__name__).as_model("x")


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    with Server({"fetch": model_of(fetch)}) as first, Server({"score": model_of(score)}) as second:
        yield first.url, second.url


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[str]]:
    """Write pictures that show these numbers, and return their paths."""

    def write(*numbers: int) -> list[str]:
        for number in numbers:
            (tmp_path / f"{number}.png").write_bytes(PNG + b"%d" % number)
        return [str(tmp_path / f"{number}.png") for number in numbers]

    return write


def answered(ask: Ask, sources: list[str], **options: object) -> list[ImageResult]:
    options = {"labels": LABELS, **options}
    return [*ClassyClient(ask, **options).classify(sources)]  # type: ignore[arg-type]


def numbers(results: list[ImageResult]) -> list[int]:
    assert not [each for each in results if each.problem], results
    assert [each.position for each in results] == list(range(len(results)))
    return [each.classes[0].number for each in results]


def test_files_and_addresses_go_in_one_call_and_keep_their_order(
    urls: tuple[str, str], files: Callable[..., list[str]]
) -> None:
    sources = [*files(3, 1), "https://example.com/7", "HTTP://example.com/2", *files(4)]
    ask, close = asked_server(*urls)
    results = answered(ask, sources)
    close()
    assert numbers(results) == [3, 1, 7, 2, 4]
    assert [each.source for each in results] == sources
    assert results[2].classes == (ImageClass(7, "class 7", 100 / 256),)


def test_a_problem_is_told_as_the_first_stage_says_it(
    urls: tuple[str, str], files: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("http://example.com/5")
    (tmp_path / "empty").write_bytes(b"")
    sources = ["http://e/bad", *files(0, 6), str(tmp_path / "none"), str(tmp_path / "text"),
               str(tmp_path), str(tmp_path / "empty"), "a\0b", "http://e/8"]  # fmt: skip
    ask, close = asked_server(*urls)
    results = answered(ask, sources)
    close()
    assert [each.problem.partition(";")[0] for each in results] == [
        "cannot be fetched",
        "no image",
        "",
        "cannot be read: No such file or directory",
        "not an image that can be read",
        "cannot be read: Is a directory",
        "not an image that can be read",
        "cannot be read: embedded null byte",
        "",
    ]
    assert [each.classes[0].number for each in results if each.classes] == [6, 8]


def test_a_pipeline_of_this_process_answers_the_same(
    urls: tuple[str, str], files: Callable[..., list[str]]
) -> None:
    sources = [*files(3, 0), "http://e/bad", "http://e/9"]
    remote, close_remote = asked_server(*urls)
    local, close_local = asked_model(
        Pipeline([Stage("fetch", model_of(fetch)), Stage("score", model_of(score))])
    )
    assert answered(local, sources) == answered(remote, sources)
    close_local()
    close_remote()


def test_a_model_without_problems_and_one_that_gives_the_files_too(
    files: Callable[..., list[str]],
) -> None:
    def plain(images: Array) -> dict[str, Array]:
        return {"copies": images, "scores": scores_of(images, "float32")}

    ask, close = asked_model(model_of(plain))
    (result,) = answered(ask, files(5))
    close()
    assert result.classes == (ImageClass(5, "class 5", 100.0),)


@pytest.mark.parametrize(
    ("scores", "probabilities"),
    [
        (np.array([[0, 64, 128]], "uint8"), [0.5, 0.25, 0.0]),
        (np.array([[-128, 0, 127]], "int8"), [255 / 256, 0.5, 0.0]),
        (np.array([[0.1, 0.7, 0.2]], "float32"), [0.7, 0.2, 0.1]),
        (np.array([[[[0.5, 0.25, 0.25]]]], "float16"), [0.5, 0.25, 0.25]),
    ],
    ids=["uint8", "int8", "float32", "more dimensions"],
)
def test_probabilities(
    scores: Array, probabilities: list[float], files: Callable[..., list[str]]
) -> None:
    (result,) = answered(lambda *_: [scores], files(1), labels=("a", "b", "c"), topk=3)
    assert [each.probability for each in result.classes] == pytest.approx(probabilities)
    order = np.argsort(-scores.ravel().astype(float), kind="stable")
    assert [each.number for each in result.classes] == order.tolist()
    assert [each.name for each in result.classes] == ["abc"[index] for index in order]


@pytest.mark.parametrize(
    ("labels", "classes", "best", "told"),
    [
        (LABELS, 1001, 5, (4, "class 4")),
        (LABELS, 1001, 0, (-1, "background")),
        (LABELS, 1000, 5, (5, "class 5")),
        (LABELS[1:], 1001, 5, (4, "class 4")),
        (LABELS[1:], 1000, 5, (5, "class 5")),
        (("background", "cat"), 2, 1, (0, "cat")),
        (("dog", "cat"), 2, 1, (1, "cat")),
    ],
)
def test_the_background_is_not_counted(
    labels: tuple[str, ...], classes: int, best: int, told: tuple[int, str],
    files: Callable[..., list[str]],
) -> None:  # fmt: skip
    scores = np.zeros((1, classes), "uint8")
    scores[0, best] = 9
    (result,) = answered(lambda *_: [scores], files(1), labels=labels)
    assert result.classes[0][:2] == told


def test_labels_that_do_not_fit_end_it(files: Callable[..., list[str]]) -> None:
    with pytest.raises(SetupError, match="3 names for 1001 classes"):
        answered(lambda *_: [np.zeros((1, 1001), "uint8")], files(1), labels=("a", "b", "c"))


@pytest.mark.parametrize("given", [[np.zeros(2, "uint8")], [np.zeros((2, 4), "uint8")]])
def test_an_answer_without_scores_is_told(
    given: list[Array], files: Callable[..., list[str]]
) -> None:
    (result,) = answered(lambda *_: given, files(1))
    assert result.problem.startswith("expected scores of shape (1, classes), got")


def test_a_pipeline_that_gives_strings_alone_gives_no_scores(
    files: Callable[..., list[str]],
) -> None:
    for given in ([strings(b"a"), strings(b"b")], [strings(b"a")], []):
        (result,) = answered(lambda *_, found=given: found, files(1))
        assert result.problem.startswith("the pipeline gives no scores")
    with Server({"fetch": model_of(fetch)}) as server:
        ask, close = asked_server(server.url, "")
        (result,) = answered(ask, files(1))
        close()
    assert result.problem == "the pipeline gives no scores, but object (1,), object (1,)"


def labelled(images: Array) -> dict[str, Array]:
    return {"scores": scores_of(images), "labels": strings(*[b"a cat"] * len(images))}


@pytest.mark.parametrize("declared", [True, False])
def test_a_models_own_labels_are_no_problems(
    declared: bool, files: Callable[..., list[str]]
) -> None:
    """Behind them come what the downloader says, and what the model's server says."""

    def told(images: Array) -> dict[str, Array]:
        return {**labelled(images), "image_problems": score(images)["image_problems"]}

    def model(function: Callable[[Array], Mapping[str, Array]], *names: str):
        outputs = dict.fromkeys(names, STRINGS)
        if "scores" in names:
            outputs["scores"] = TensorSpec("uint8", (None, 1001))
        given = {"images": STRINGS}
        more = {"outputs": outputs} if declared else {}
        return Function(function, inputs=given, name=function.__name__, **more).as_model("x")

    first = model(fetch, "images", "fetch_problems")
    second = model(told, "scores", "labels", "image_problems")
    sources = [*files(3, 0), "http://e/bad", "http://e/9"]
    with Server({"fetch": first}) as one, Server({"told": second}) as two:
        ask, close = asked_server(one.url, two.url)
        results = answered(ask, sources)
        close()
    assert [each.problem for each in results] == ["", "no image", "cannot be fetched", ""]
    assert [each.classes[0].number for each in results if each.classes] == [3, 9]


def test_labels_alone_are_no_problems_either(files: Callable[..., list[str]]) -> None:
    outputs = {"scores": TensorSpec("uint8", (None, 1001)), "labels": STRINGS}
    only = Function(labelled, inputs={"images": STRINGS}, outputs=outputs).as_model("x")
    with Server({"only": only}) as server:
        ask, close = asked_server(server.url, "")
        assert numbers(answered(ask, files(5))) == [5]
        close()
    ask, close = asked_model(only)
    assert numbers(answered(ask, files(5))) == [5]
    close()


def test_scores_that_are_no_numbers_are_no_class(files: Callable[..., list[str]]) -> None:
    nan, inf = float("nan"), float("inf")
    scores = np.array(
        [[nan, nan], [0.25, 0.5], [nan, 0.5], [inf, 0.5], [-inf, -inf], [-inf, 0.5]], "float32"
    )
    told = strings(b"", b"", b"its own", b"", b"", b"")
    results = answered(lambda *_: [scores, told], files(*range(6)), labels=("a", "b"), topk=2)
    none = "the model gave no probabilities"
    assert [each.problem for each in results] == [none, "", "its own", none, none, ""]
    assert [len(each.classes) for each in results] == [0, 2, 0, 0, 0, 1]
    assert results[5].classes == (ImageClass(1, "b", 0.5),)


def test_batches_run_at_once_and_keep_order(files: Callable[..., list[str]]) -> None:
    now, most, sizes, lock = [0], [0], [], threading.Lock()

    def ask(images: Array, deadline: Deadline) -> list[Array]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            sizes.append(len(images))
        time.sleep(0.02 * (5 - number_of(images[0]) % 5))  # later ones are faster
        with lock:
            now[0] -= 1
        return [scores_of(images)]

    results = answered(ask, files(*range(50)), batch=7, jobs=3)
    assert numbers(results) == list(range(50))
    assert most[0] == 3
    assert sorted(sizes) == [1, *[7] * 7]


def test_few_files_are_in_memory_and_results_come_as_soon_as_they_can(
    files: Callable[..., list[str]],
) -> None:
    taken: list[int] = []

    def sources() -> Iterator[str]:
        for number, path in enumerate(files(*range(200))):
            taken.append(number)
            yield path

    client = ClassyClient(lambda images, _: [scores_of(images)], LABELS, batch=5, jobs=3)
    results = client.classify(sources())
    for index in range(200):
        assert next(results).classes[0].number == index
        assert len(taken) <= index + 5 + 3 * 5
    assert next(results, None) is None


def test_large_files_are_several_requests(
    files: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = files(1, 2, 3, 4, 5)
    monkeypatch.setattr(module, "_MOST_BYTES", 2 * (len(PNG) + 1))
    (tmp_path / "large").write_bytes(PNG + bytes(len(PNG) + 3))
    sizes: list[int] = []

    def ask(images: Array, _: Deadline) -> list[Array]:
        sizes.append(len(images))
        return [scores_of(images)]

    results = answered(ask, [*paths, str(tmp_path / "large")])
    assert numbers(results[:5]) == [1, 2, 3, 4, 5]
    assert "cannot be sent: more than" in results[5].problem
    assert sizes == [2, 2, 1]


def test_a_batch_that_fails_takes_no_other_along(files: Callable[..., list[str]]) -> None:
    def ask(images: Array, _: Deadline) -> list[Array]:
        if number_of(images[0]) == 4:
            raise InvalidImage("too many")
        return [scores_of(images)]

    results = answered(ask, files(*range(8)), batch=2)
    assert [each.problem for each in results] == ["", "", "", "", "too many", "too many", "", ""]


def test_nothing_listens(files: Callable[..., list[str]]) -> None:
    ask, close = asked_server("http://127.0.0.1:9", "")
    with pytest.raises(CannotConnect, match="nothing listens"):
        answered(ask, files(1))
    close()


def to_the_end(results: Iterator[ImageResult]) -> Iterator[ImageResult]:
    """Give results up to the end, which has to be that nobody listens."""
    with pytest.raises(CannotConnect, match="nothing listens"):
        yield from results


def gone_after(server: Server, ask: Ask, sources: list[str], back: bool) -> list[ImageResult]:
    """Classify one by one; the server goes after the first, and comes back after the third."""
    port, results = int(server.url.rpartition(":")[2]), list[ImageResult]()
    for result in to_the_end(ClassyClient(ask, LABELS, batch=1, jobs=1).classify(sources)):
        results.append(result)
        if len(results) == 1:
            server.stop()
        if len(results) == 3 and back:
            server = Server({"score": model_of(score)}, ServerSettings(port=port))
            server.start()
    server.stop()
    return results


@pytest.mark.parametrize("back", [False, True])
def test_servers_that_go_in_the_middle_leave_what_they_have_answered(
    back: bool, files: Callable[..., list[str]]
) -> None:
    server = Server({"score": model_of(score)})
    server.start()
    ask, close = asked_server(server.url, "")
    results = gone_after(server, ask, files(1, 2, 3, 4, 5), back)
    close()
    lost = [2, 3] if back else [2, 3, 4, 5]
    for number, result in enumerate(results, 1):
        if number in lost:
            assert "nothing listens" in result.problem
        else:
            assert result.classes[0].number == number


def test_one_batch_that_nobody_answers_waits_for_the_others(
    files: Callable[..., list[str]],
) -> None:
    def ask(images: Array, _: Deadline) -> list[Array]:
        if number_of(images[0]) < 3:
            raise CannotConnect("nothing listens there")
        return [scores_of(images)]

    client = ClassyClient(ask, LABELS, batch=1, jobs=4)
    results = [*to_the_end(client.classify(files(1, 2, 3, 4)))]
    assert [bool(each.problem) for each in results] == [True, True, False, False]


def test_who_has_too_much_to_do_is_asked_again(files: Callable[..., list[str]]) -> None:
    def slow(images: Array) -> dict[str, Array]:
        time.sleep(0.2)  # so that another one comes meanwhile, however busy the machine is
        return score(images)

    calls: list[list[Took]] = []
    with Server({"slow": model_of(slow)}, ServerSettings(threads=1, queue=0)) as server:
        ask, close = asked_server(server.url, "")
        refused = answered(lambda *given: once(ask, *given), files(*range(1, 9)), batch=1, jobs=4)
        assert [each for each in refused if "503" in each.problem], "it has too much to do"
        results = answered(ask, files(*range(1, 9)), batch=1, jobs=4, timed=calls.append)
        close()
    assert numbers(results) == [*range(1, 9)]
    assert len(calls) == 8, "a call is one, however often it is tried"


def once(ask: Ask, images: Array, deadline: Deadline) -> list[Array]:
    """Ask as one who does not try again."""
    try:
        return [*ask(images, deadline)]
    except RefusedByModel as error:
        raise InvalidImage(error.detail) from error


@pytest.mark.parametrize(
    ("error", "least", "most"),
    [
        (RefusedByModel("full", code=503), 3, 4),
        (Overloaded("full"), 3, 4),
        (RefusedByModel("broken", code=500), 1, 1),
    ],
)
def test_it_is_asked_again_within_the_time_of_a_call(
    error: Exception, least: int, most: int, files: Callable[..., list[str]]
) -> None:
    asked: list[float] = []

    def ask(*_: object) -> list[Array]:
        asked.append(time.monotonic())
        raise error

    (result,) = answered(ask, files(1), seconds=0.6)
    assert result.problem in ("full", "broken")
    assert least <= len(asked) <= most
    pauses = [after - before for before, after in pairwise(asked)]
    assert pauses == sorted(pauses)
    assert asked[-1] - asked[0] < 0.6


def test_whoever_stops_early_ends_the_pauses_too(files: Callable[..., list[str]]) -> None:
    def ask(images: Array, _: Deadline) -> list[Array]:
        if number_of(images[0]) == 1:
            return [scores_of(images)]
        raise RefusedByModel("full", code=503)

    results = ClassyClient(ask, LABELS, batch=1, jobs=2).classify(files(1, 2))
    assert next(results).classes
    time.sleep(1.0)  # the pause now is a longer one
    began = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 0.3


def test_a_call_has_its_time(files: Callable[..., list[str]]) -> None:
    def slow(images: Array) -> dict[str, Array]:
        time.sleep(1)
        return score(images)

    with Server({"slow": model_of(slow)}) as server:
        ask, close = asked_server(server.url, "")
        began = time.monotonic()
        (result,) = answered(ask, files(1), seconds=0.2)
        assert time.monotonic() - began < 0.9
        assert "no answer within" in result.problem or "504" in result.problem
        close()


def test_whoever_stops_early_ends_the_calls(files: Callable[..., list[str]]) -> None:
    def slow(images: Array) -> dict[str, Array]:
        time.sleep(0.05 if number_of(images[0]) == 1 else 3)
        return score(images)

    with Server({"slow": model_of(slow)}) as server:
        ask, close = asked_server(server.url, "")
        results = ClassyClient(ask, LABELS, batch=1, jobs=2).classify(files(1, 2, 3, 4, 5))
        assert next(results).classes[0].number == 1
        began = time.monotonic()
        results.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 1.5
        close()


def test_times_are_told_when_they_are_wanted(
    urls: tuple[str, str], files: Callable[..., list[str]]
) -> None:
    calls: list[list[Took]] = []
    ask, close = asked_server(*urls)
    answered(ask, files(1, 2, 3), batch=2, timed=lambda took: calls.append([*took]))
    close()
    assert len(calls) == 2
    for call in calls:
        names = [took.name for took in call]
        assert names[-1] == "call"
        assert {"fetch", "next", "total", "next.total"} <= {*names}
        assert call[-1].seconds >= next(took.seconds for took in call if took.name == "total")
    assert SCOPE.get() is None


def test_what_an_address_is() -> None:
    assert is_url("http://h")
    assert is_url("HTTPS://h")
    assert not is_url("file:///etc/passwd")
    assert not is_url("http")
    assert not is_url("photo.jpg")
