"""The repository's pages as a browser without scripts gets them: every form ends at a page."""

import base64
import io
import json
import re
from collections.abc import Sequence
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import pytest

from gpfn.errors import GpfnError, InvalidRequest, ModelFailed
from gpfn.http.loop.exchange import Exchange, Response
from gpfn.repository.tags import TagChange
from gpfn.serving.answers import json_page
from gpfn.serving.routing import Route, Routed
from gpfn.tensors.spec import TensorSpec
from tests.serving.serving import Running

from .shelf import SHARES, Model, Shelf, made, shown, usual

HOSTILE = "<script>alert(1)</script>\"'"
HTML = "text/html,*/*;q=0.8"


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags: list[str] = []
        self.elements: list[dict[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.elements.append({"tag": tag, **{name: value or "" for name, value in attrs}})

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def values(self, name: str) -> list[str]:
        return [one.get("value", "") for one in self.elements if one.get("name") == name]


def get(run: Running, path: str, status: int = 200, **headers: str) -> Page:
    got, _, body = run.ask("GET", path, **{"accept": HTML, **headers})
    assert got == status, body[:400]
    return Page(body.decode())


def post(run: Running, path: str, **fields: object) -> tuple[int, str, Page]:
    """Send a form as a browser does; return the status, the place to go, and the page."""
    body = urlencode(fields).encode()
    kind = "application/x-www-form-urlencoded"
    origin = f"http://127.0.0.1:{run.port}"
    status, headers, text = run.ask(
        "POST", path, body, accept=HTML, content_type=kind, origin=origin
    )
    return status, headers.get("location", ""), Page(text.decode())


def upload(run: Running, *files: tuple[str, bytes], **headers: str) -> tuple[int, str, bytes]:
    parts = b"".join(
        b'--xx\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n\r\n%b\r\n'
        % (b"file" if field is None else field, name.encode(), data)
        for field, name, data in ((None, *file) for file in files)
    )
    kind = "multipart/form-data; boundary=xx"
    told = {"accept": HTML, "content_type": kind, **headers}
    status, got, body = run.ask("POST", "/models", parts + b"--xx--\r\n", **told)
    return status, got.get("location", ""), body


def cells(values: list[object]) -> dict[str, object]:
    return {f"c0.{index}": value for index, value in enumerate(values)}


def test_it_loads_its_own_style_and_script_alone() -> None:
    with shown(Shelf(usual())) as run:
        _, headers, body = run.ask("GET", "/models/forecast", accept=HTML)
        page = Page(body.decode())
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        for part in ("connect-src 'self'", "form-action 'self'", "base-uri 'none'"):
            assert part in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        loaded = [one.get("src") or one.get("href") for one in page.elements]
        assets = [place for place in loaded if place and place.startswith("/assets/")]
        assert len(assets) == 2
        total = len(body)
        for place in assets:
            status, headers, content = run.ask("GET", place)
            assert (status, headers["x-content-type-options"]) == (200, "nosniff")
            assert "immutable" in headers["cache-control"]
            assert b"url(" not in content
            assert b"@import" not in content
            total += len(content)
        assert total < 80_000
        assert not [
            name for one in page.elements for name in one if name in ("style",) or name[:2] == "on"
        ]
        assert run.ask("GET", "/assets/adapter.py")[0] == 404
        assert run.ask("GET", "/assets/%2e%2e%2fadapter.py")[0] in (400, 404)


def test_many_models_are_found_and_paged() -> None:
    models = {f"model_{index:03}": Model(versions=3) for index in range(214)}
    for index, model in enumerate(models.values()):
        model.minutes = usual()["forecast"].minutes
        model.tags = {"prod": 1, f"t{index}": 2}
    with shown(Shelf(models)) as run:
        page = get(run, "/models")
        assert len(page.source) < 150_000 - 40_000, "with the style and the script"
        assert sum(one.get("class") == "item" for one in page.elements) == 50
        assert "1 to 50 of 214" in page.words
        assert "201 to 214 of 214" in get(run, "/models?from=200").words
        assert "201 to 214 of 214" in get(run, "/models?from=99999").words
        found = get(run, "/models?q=t213")
        assert "1 of 214" in found.words
        assert "model_213" in found.words
        none = get(run, "/models?q=forcast%3Cb%3E")
        assert "No model matches “forcast<b>”" in none.words
        page = get(run, "/models/model_100")
        assert len(page.source) < 110_000
        here = [one for one in page.elements if one.get("aria-current") == "page"]
        assert [one["href"] for one in here] == ["/models", "/models/model_100"]


def test_an_empty_repository_says_how_to_fill_it() -> None:
    with shown(Shelf()) as run:
        page = get(run, "/")
        assert "No models yet" in page.words
        assert f"gpfn models push model.tflite --to http://127.0.0.1:{run.port}" in page.words


class ForPrograms:
    """Another protocol, which has answers for who is no browser."""

    prefixes = ()

    def __init__(self) -> None:
        self.routes = [Route("GET", path, self.answer) for path in ("/", "/models")]

    def answer(self, exchange: Exchange, _: object) -> Response:
        if "wrong" in exchange.request.target:
            raise InvalidRequest("in another's words")
        return json_page(["for programs"])

    def failure(self, error: BaseException, accept: str | None) -> Response:
        assert isinstance(error, GpfnError)
        assert accept == "*/*"
        return json_page(["refused"], error.status)

    def unknown(self, method: str, path: str, allowed: Sequence[str]) -> GpfnError:
        raise AssertionError((method, path, allowed))


def for_programs() -> dict[str, Routed]:
    protocol = ForPrograms()
    return {route.pattern: Routed(protocol, route, {}) for route in protocol.routes}


def test_programs_are_refused_as_others_do(tmp_path: Path) -> None:
    with shown(Shelf(usual()), for_programs()) as run:
        status, _, body = run.ask("GET", "/models?wrong", accept="*/*")
        assert (status, body) == (400, b'["refused"]')
    file = tmp_path / "tokens.txt"
    file.write_text(f"r predict {sha256(b't-r').hexdigest()}\n")
    file.chmod(0o600)
    with shown(Shelf(usual()), for_programs(), tokens=str(file)) as run:
        for path in ("/", "/models"):
            assert run.ask("GET", path, accept="*/*")[0] == 401
            assert run.ask("GET", path, accept="*/*", authorization="Bearer t-r")[0] == 200


def test_programs_are_answered_by_others() -> None:
    programs = for_programs()
    with shown(Shelf(usual()), programs) as run:
        for path in programs:
            assert run.ask("GET", path, accept="*/*")[2] == b'["for programs"]'
            assert "forecast" in get(run, path).words
        form = {"content_type": "application/x-www-form-urlencoded"}
        assert run.ask("POST", "/models", b"{}", **form)[2] == b'["for programs"]'
        status, headers, body = run.ask("GET", "/models/none", accept="application/json")
        assert (status, headers["content-type"]) == (404, "application/problem+json")
        assert json.loads(body)["status"] == 404


def test_below_a_base_path_everything_is_there() -> None:
    with shown(Shelf(usual()), root="/tf/aas") as run:
        for path in ("/tf/aas/models", "/tf/aas/models/forecast?version=3", "/tf/aas/trash"):
            page = get(run, path)
            own = [one.get("href") or one.get("action") or one.get("src") for one in page.elements]
            own = [place for place in own if place and not place.startswith(("#", "data:"))]
            assert [place for place in own if not place.startswith("/tf/aas/")] == []
            for place in own:
                if "/assets/" in place or "/netron/graph" in place:
                    assert run.ask("GET", place)[0] == 200
        status, place, _ = post(run, "/tf/aas/models/forecast/tags", tag="x", version=1)
        assert (status, place[:23]) == (303, "/tf/aas/models/forecast")
        page = post(run, "/tf/aas/models/forecast/try", **cells([1] * 20))[2]
        assert f":{run.port}/tf/aas/v2/models/forecast/infer" in page.words


def test_a_prediction_is_the_page_with_its_answer() -> None:
    with shown(Shelf(usual())) as run:
        series = [f"{index}.5" for index in range(20)]
        status, _, page = post(run, "/models/forecast/try?view=cells&version=4", **cells(series))
        assert status == 200
        assert page.values("c0.7") == ["7.5"], "what was typed stays"
        assert '"data":[1.515, 2.525,' in page.source.replace("&quot;", '"')
        assert f"curl -sS http://127.0.0.1:{run.port}/v2/models/forecast/infer" in page.words
        status, _, page = post(run, "/models/forecast/try?version=2", **cells(series))
        assert "/v2/models/forecast/versions/2/infer" in page.words


@pytest.mark.parametrize(
    ("at", "typed", "told"),
    [
        (6, "26,01", "series[7]: “26,01” is not a number of float32; write 26.01"),
        (19, "", "series[20]: a number is missing"),
        (0, "1e39", "series[1]: too large for float32"),
        (3, HOSTILE, "is not a number of float32"),
        (3, "0x10", "is not a number"),
        (3, "nan", "is not a number"),
    ],
)
def test_what_is_wrong_is_told_at_its_cell(at: int, typed: str, told: str) -> None:
    with shown(Shelf(usual())) as run:
        values = cells([1] * 20) | {f"c0.{at}": typed}
        status, _, page = post(run, "/models/forecast/try?view=cells", **values)
        assert status == 400
        assert told in page.words
        (wrong,) = [one for one in page.elements if one.get("aria-invalid")]
        assert wrong["name"] == f"c0.{at}"
        assert wrong["value"] == typed
        assert wrong["aria-describedby"] == "problem"
        assert "script" not in page.tags[page.tags.index("body") :]


def test_nineteen_numbers_as_text_are_refused_where_they_stand() -> None:
    with shown(Shelf(usual())) as run:
        text = str([[[1.0]] * 19])
        status, _, page = post(run, "/models/forecast/try?view=text", text=text)
        assert status == 400
        (wrong,) = [one for one in page.elements if one.get("aria-invalid")]
        assert wrong["name"] == "text"
        assert text in page.texts[[*map(str.strip, page.texts)].index(text)]
        assert "19" in page.words


def test_text_takes_rows_and_says_what_is_not_json() -> None:
    with shown(Shelf(usual())) as run:
        rows = str([[[1.0]] * 20] * 3)
        status, _, page = post(run, "/models/forecast/try?view=text", text=rows)
        assert (status, "(3, 20, 1)" in page.words) == (200, True)
        for text in (
            "",
            "[",
            "{}",
            '"x"',
            "[" * 5000,
            "1e999",
            "\ud800".encode("utf-8", "replace").decode(),
        ):
            assert post(run, "/models/forecast/try?view=text", text=text)[0] == 400, text[:9]


def test_a_model_that_fails_says_so_in_its_words() -> None:
    def fails(x: np.ndarray) -> np.ndarray:
        raise ModelFailed("gather index out of bounds <b>")

    with shown(Shelf({"m": Model(call=fails)})) as run:
        status, _, page = post(run, "/models/m/try?view=cells", **cells([1] * 20))
        assert status == 502
        assert "gather index out of bounds <b>" in page.words


def test_tags_move_and_move_back() -> None:
    shelf = Shelf(usual())
    with shown(shelf) as run:
        page = get(run, "/models/forecast")
        assert "prod is 4 since 2026-11-21, was 3" in page.words
        assert "Move prod back to 3" in page.words
        status, place, _ = post(run, "/models/forecast/tags", tag="prod", version=3)
        assert (status, shelf.models["forecast"].tags["prod"]) == (303, 3)
        page = get(run, place)
        assert "prod is version 3 now, was 4." in page.words
        undo = [one for one in page.elements if one.get("action") == "/models/forecast/tags"]
        assert len(undo) == 3, "the flash, the way back, the form"
        assert post(run, "/models/forecast/tags", tag="prod", version=4)[0] == 303
        status, place, _ = post(run, "/models/forecast/tags", tag="prod", version="")
        assert "prod" not in shelf.models["forecast"].tags
        assert "prod was taken away." in get(run, place).words
        for tag, version, wrong in (
            ("latest", 1, 400),
            ("a b", 1, 400),
            ("x", 9, 409),
            ("x", "-1", 400),
        ):
            status, place, page = post(run, "/models/forecast/tags", tag=tag, version=version)
            assert (status, place) == (wrong, ""), tag


def test_delete_asks_where_it_has_consequences_and_undo_brings_all_back() -> None:
    shelf = Shelf(usual())
    before = dict(shelf.models["forecast"].versions)
    with shown(shelf) as run:
        status, place, _ = post(run, "/models/forecast/delete", version=4)
        assert (status, place) == (303, "/models/forecast/delete?version=4")
        assert 4 in shelf.models["forecast"].versions
        page = get(run, place)
        assert "Delete version 4 of forecast?" in page.words
        assert "calls by such a tag fail with 404" in page.words
        assert [one.get("href") for one in page.elements if "autofocus" in one] == [
            "/models/forecast"
        ]
        status, place, _ = post(run, "/models/forecast/delete", version=1)
        page = get(run, place)
        assert "Version 1 of forecast is in the trash for 30 days." in page.words
        assert post(run, "/models/forecast/restore", version=1)[0] == 303
        assert shelf.models["forecast"].versions == before
        status, place, _ = post(run, "/models/forecast/delete", sure=1)
        assert place.startswith("/trash?did=gone")
        page = get(run, place)
        assert "forecast 4" in page.words
        assert run.ask("GET", "/models/forecast", accept=HTML)[0] == 404
        assert post(run, "/models/forecast/restore", version=4)[1].startswith("/models/forecast?")
        assert post(run, "/models/forecast/restore", version=44)[0] == 409


def test_uploads_end_at_what_they_are() -> None:
    shelf = Shelf(usual(), limit=10_000)
    with shown(shelf) as run:
        status, place, _ = upload(run, ("churn.onnx", b"a model"))
        assert (status, place) == (303, "/models/churn?did=uploaded&number=1")
        assert "Version 1 is uploaded and served." in get(run, place).words
        status, place, _ = upload(run, ("a.onnx", b"one"), ("b.onnx", b"two"))
        assert "2 models are uploaded and served." in get(run, place).words
        status, _, body = upload(run, ("x.onnx", b"fail"))
        assert (status, b"expected a model, found a text" in body) == (415, True)
        status, _, body = upload(run, ("x.onnx", b"x" * 20_000))
        assert (status, b"limit is 10000" in body) == (413, True)
        status, _, body = upload(run, ("c.onnx", b"three"), accept="application/json")
        assert (status, b'"version":1' in body) == (200, True)
        assert run.ask("POST", "/models", b"x=1", accept=HTML)[0] in (400, 415)


def test_a_large_upload_is_taken_piece_by_piece() -> None:
    shelf = Shelf(limit=8 << 20)
    with shown(shelf) as run:
        status, place, _ = upload(run, ("big.onnx", b"x" * (4 << 20)))
        assert (status, place) == (303, "/models/big?did=uploaded&number=1")
        assert shelf.models["big"].versions[1].size == 4 << 20
        connection = run.connect()
        connection.putrequest("POST", "/models")
        for name, value in (
            ("accept", HTML),
            ("content-type", "multipart/form-data; boundary=xx"),
            ("content-length", str(9 << 20)),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        reply = connection.getresponse()
        assert (reply.status, b"limit is 8388608 (--max-upload)" in reply.read()) == (413, True)
        connection.close()


def test_pages_of_other_sites_change_nothing() -> None:
    shelf = Shelf(usual())
    forms = (
        ("/models/forecast/tags", b"tag=evil&version=1"),
        ("/models/forecast/delete", b"sure=1"),
        ("/models/forecast/restore", b"version=1"),
    )
    kind = "application/x-www-form-urlencoded"
    with shown(shelf) as run:
        for path, body in forms:
            for headers in (
                {"origin": "http://evil.test"},
                {"origin": f"http://localhost.evil.test:{run.port}"},
                {"origin": "null"},
                {"sec_fetch_site": "cross-site"},
                {"host": "evil.test"},
            ):
                status, _, _ = run.ask(
                    "POST", path, body, accept=HTML, content_type=kind, **headers
                )
                assert status == 403, (path, headers)
        assert upload(run, ("x.onnx", b"x"), origin="http://evil.test")[0] == 403
        assert shelf.audit == []


def test_with_tokens_a_browser_asks_for_one(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    digests = {name: sha256(name.encode()).hexdigest() for name in ("reader", "writer")}
    path.write_text(f"r predict {digests['reader']}\nw write {digests['writer']}\n")
    path.chmod(0o600)
    shelf = Shelf(usual())

    def basic(token: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"any:{token}".encode()).decode()}

    kind = {"content_type": "application/x-www-form-urlencoded", "accept": HTML}
    with shown(shelf, tokens=str(path)) as run:
        for place in ("/", "/models", "/models/forecast", "/trash", "/models/forecast/delete"):
            status, headers, body = run.ask("GET", place, accept=HTML)
            assert (status, b"forecast" in body) == (401, False)
            assert headers.get_all("www-authenticate")[0].startswith("Basic ")
            get(run, place, **basic("reader"))
        for wrong in ({"authorization": "Basic !"}, basic("nobody"), basic("")):
            assert run.ask("GET", "/models", accept=HTML, **wrong)[0] == 401
        own = {"origin": f"http://127.0.0.1:{run.port}", **kind}
        form = ("POST", "/models/forecast/tags", b"tag=x&version=1")
        assert run.ask(*form, **own)[0] == 401
        assert run.ask(*form, **own, **basic("reader"))[0] == 403
        assert run.ask(*form, **own, **basic("writer"))[0] == 303
        assert shelf.audit == [("tag", "forecast", "x", "1", "w")]
        evil = {**own, "origin": "http://evil.test"}
        assert run.ask(*form, **evil, **basic("writer"))[0] == 403
        asks = ("POST", "/models/forecast/try?view=cells", urlencode(cells([1] * 20)).encode())
        assert run.ask(*asks, **own, **basic("reader"))[0] == 200
        assert run.ask(*asks, **evil, **basic("reader"))[0] == 403, "a password comes by itself"
        page = run.ask(*asks, **own, **basic("reader"))[2].decode()
        assert "authorization: Bearer $TOKEN" in page
        assert "reader" not in page
        assert upload(run, ("x.onnx", b"x"))[0] == 401
        assert upload(run, ("x.onnx", b"x"), **basic("reader"))[0] == 403
        assert upload(run, ("x.onnx", b"x"), **basic("writer"))[0] == 303


@pytest.mark.parametrize("path", ["/models", "/models/m/tags", "/models/m/try", "/models/m/delete"])
def test_who_may_not_is_told_before_the_body_has_come(path: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"r predict {sha256(b'reader').hexdigest()}\n")
    tokens.chmod(0o600)
    for run_with, own, wanted in (
        ({"tokens": str(tokens)}, "", 401),
        ({}, "http://evil.test", 403),
    ):
        if (path, wanted) == ("/models/m/try", 403):
            continue  # which everybody may on loopback, as by the protocols
        with shown(Shelf({"m": Model()}), **run_with) as run:
            connection = run.connect()
            connection.putrequest("POST", path)
            connection.putheader("content-length", "1000000")
            connection.putheader("content-type", "multipart/form-data; boundary=xx")
            if own:
                connection.putheader("origin", own)
            connection.endheaders()
            assert connection.getresponse().status == wanted
            connection.close()


def test_hostile_texts_are_text() -> None:
    spec = TensorSpec("float32", (None, 3), HOSTILE)
    model = Model(
        (spec,), (TensorSpec("float32", (None, 3), HOSTILE),),
        lambda x: np.array([[0.5, 0.3, 0.2]], np.float32), labels=(HOSTILE,) * 3,
        model=HOSTILE, notes=(HOSTILE,), who=HOSTILE, when=HOSTILE, state="failed",
        reason=f"{HOSTILE} /usr/lib/secret/x", files=(HOSTILE,), kind=HOSTILE,
        digest=HOSTILE, source=HOSTILE, versions=2,
    )  # fmt: skip
    model.tags = {HOSTILE: 2}
    model.history = [
        TagChange(HOSTILE, 1, HOSTILE, HOSTILE, {}),
        TagChange(HOSTILE, 2, HOSTILE, HOSTILE, {}),
    ]
    model.trash = {7: made(7)}
    name = HOSTILE.replace("/", "")  # which no part of a path can have
    shelf = Shelf({name: model})
    place = f"/models/{quote(name, safe='')}"
    with shown(shelf) as run:
        pages = [get(run, path) for path in ("/models", place, "/trash", f"{place}/delete")]
        told = {f"c0.{index}": "1" for index in range(3)}
        pages.append(post(run, f"{place}/try?view=cells", **told)[2])
        pages.append(get(run, f"{place}?did=tagged&tag={place[8:]}&number=1&model={place[8:]}"))
        for page in pages:
            inside = page.tags[page.tags.index("body") :]
            assert "script" not in inside
            assert not [n for one in page.elements for n in one if n[:2] == "on" or n == "style"]
        assert "/usr/lib/secret" not in pages[1].words
        assert "<script>" in pages[1].words


def test_images_are_answered_with_classes() -> None:
    with shown(Shelf(usual())) as run:
        body = (
            b'--xx\r\nContent-Disposition: form-data; name="image"; filename="a b;\'.png"\r\n'
            b"Content-Type: image/png\r\n\r\n\x89PNG...\r\n--xx--\r\n"
        )
        kind = "multipart/form-data; boundary=xx"
        path = "/models/photo/try?view=image"
        status, _, text = run.ask("POST", path, body, accept=HTML, content_type=kind)
        page = Page(text.decode())
        assert status == 200, page.words
        assert "valley, vale" in page.words
        assert "70.0 %" in page.words
        assert f"curl -sS http://127.0.0.1:{run.port}/image" in page.words
        bad = body.replace(b"\x89PNG", b"text")
        status, _, text = run.ask("POST", path, bad, accept=HTML, content_type=kind)
        assert status == 415
        (wrong,) = [one for one in Page(text.decode()).elements if one.get("aria-invalid")]
        assert wrong["name"] == "image"
        empty = run.ask("POST", path, b"--xx--\r\n", accept=HTML, content_type=kind)
        assert empty[0] == 400


def test_a_model_of_many_inputs_is_asked_by_text_or_file() -> None:
    models = {"m": Model((TensorSpec("float32", (None, 100), "x"),), (SHARES,), lambda x: x[:, :3])}
    with shown(Shelf(models)) as run:
        page = get(run, "/models/m")
        assert not [one for one in page.elements if one.get("class") == "num-in"]
        file = io.BytesIO()
        np.save(file, np.full((1, 100), 0.25, np.float32))
        body = (
            b'--xx\r\nContent-Disposition: form-data; name="file"; filename="x.npy"\r\n\r\n'
            + file.getvalue()
            + b"\r\n--xx--\r\n"
        )
        kind = "multipart/form-data; boundary=xx"
        status, _, text = run.ask("POST", "/models/m/try", body, accept=HTML, content_type=kind)
        assert (status, b"0.25, 0.25" in text) == (200, True)


def test_unknown_pages_are_pages() -> None:
    with shown(Shelf(usual())) as run:
        for path in ("/models/none", "/models/forecast?version=9", "/models/forecast?version=x"):
            page = get(run, path, 404)
            assert "All models" in page.words
        assert run.ask("GET", "/models/..%2f..", accept=HTML)[0] in (400, 404)
        assert run.ask("GET", "/models/%00", accept=HTML)[0] == 400
        assert run.ask("PUT", "/models/forecast", b"", accept=HTML)[0] == 405
