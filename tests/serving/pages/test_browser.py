"""The pages in Chromium: what they look like, by keys alone, without scripts, and under attack."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import Overloaded
from gpfn.serving.pages import netron
from gpfn.serving.pages.history import Minute
from tests.conftest import ROOT
from tests.serving.serving import Running

from .chromium import Tab, chromium
from .shelf import Model, Shelf, made, shown, usual
from .test_pages import HOSTILE

CHECKS = Path(__file__).with_name("checks.js").read_text()
WIDTHS = (320, 360, 640, 1023, 1024, 1280, 1600, 1920)
ANSWERED = "document.querySelector('#answer figure, #answer table')"
SPACING = (
    "{ const s = new CSSStyleSheet(); s.replaceSync('* { line-height: 1.5 !important; "
    "letter-spacing: 0.12em !important; word-spacing: 0.16em !important }'); "
    "document.adoptedStyleSheets = [s]; }"
)


WIDE = (
    "{ const s = new CSSStyleSheet(); s.replaceSync(':root { --sans: monospace !important }'); "
    "document.adoptedStyleSheets = [s]; }"
)
DROPPING = """{
  const data = new DataTransfer();
  for (const [name, text] of [["a.onnx", "a model"], ["b.onnx", "fail"], ["<img src=x>.onnx", "c"]])
    data.items.add(new File([text], name));
  const event = { dataTransfer: data, cancelable: true, bubbles: true };
  document.body.dispatchEvent(new DragEvent("dragover", event));
  window.marked = !!document.querySelector(".drop.over");
  document.body.dispatchEvent(new DragEvent("drop", event));
}"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf(usual())
    shelf.models["forecast"].trash = {9: made(9)}
    shelf.file_path = ROOT / "models" / "digits.tflite"
    return shelf


@pytest.fixture
def run(shelf: Shelf, tab: Tab) -> Iterator[Running]:
    tab.look(1280, "light")
    tab.scripts(on=True)
    with shown(shelf) as run:
        yield run


def at(run: Running, path: str) -> str:
    return f"http://127.0.0.1:{run.port}{path}"


def predict(tab: Tab, run: Running, name: str = "forecast") -> None:
    """Open a model's page, type numbers and send them."""
    tab.open(at(run, f"/models/{name}"))
    tab.run(
        "document.querySelectorAll('.num-in').forEach("
        "(cell, n) => { cell.value = (30 + 6 * Math.sin(n / 2)).toFixed(2); })"
    )
    tab.run("document.querySelector('.btn.main').click()")
    tab.until(ANSWERED)


def refuse(tab: Tab, run: Running) -> None:
    """Type what is no number, send it, and wait for what is said."""
    tab.open(at(run, "/models/forecast"))
    tab.run("document.querySelectorAll('.num-in')[6].value = '26,01'")
    tab.run("document.querySelector('.btn.main').click()")
    tab.until("document.querySelector('[aria-invalid]')")


def foreign(tab: Tab, run: Running) -> list[str]:
    """Return what was asked of other servers, and what the policy has forbidden."""
    asked = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    own = (at(run, "/"), "data:", "blob:")
    said = [
        event["params"]["entry"]["text"]
        for event in tab.events
        if event["method"] == "Log.entryAdded" and event["params"]["entry"]["source"] == "security"
    ]
    thrown = [
        json.dumps(e["params"]) for e in tab.events if e["method"] == "Runtime.exceptionThrown"
    ]
    return [url for url in asked if not url.startswith(own)] + said + thrown


@pytest.mark.parametrize("state", ["list", "answer", "errors", "trash", "ask", "image", "hostile"])
def test_nothing_is_wrong_at_any_width_in_light_and_dark(
    tab: Tab, run: Running, shelf: Shelf, state: str
) -> None:
    if state == "hostile":
        long = "forecast_at_monthly_granularity_for_the_north_" * 2
        shelf.models[long] = Model(versions=3, notes=(HOSTILE * 5,), who=long)
        shelf.models[long].tags = {long: 3, "b" * 99: 3, "c": 3}
    pages = {
        "list": lambda: tab.open(at(run, "/models")),
        "answer": lambda: predict(tab, run),
        "errors": lambda: refuse(tab, run),
        "trash": lambda: tab.open(at(run, "/trash?did=gone&model=forecast")),
        "ask": lambda: tab.open(at(run, "/models/forecast/delete?version=4")),
        "image": lambda: tab.open(at(run, "/models/photo")),
        "hostile": lambda: tab.open(at(run, f"/models/{long}?did=tagged&tag=x&number=1&model=y")),
    }
    pages[state]()
    for width in WIDTHS:
        for scheme in ("light", "dark") if width in (360, 1280) else ("light",):
            tab.look(width, scheme)
            assert tab.run(f"({CHECKS})()") == [], (width, scheme)
    tab.run(WIDE)
    for width in (320, 360, 1024, 1280):
        tab.look(width, "light")
        assert tab.run(f"({CHECKS})()") == [], (width, "another font")
    tab.run(SPACING)
    for width in (320, 1280):
        tab.look(width, "light")
        found = tab.run(f"({CHECKS})()")
        assert [
            line for line in found if line.startswith(("scrolls side", "outside", "text"))
        ] == []
    assert foreign(tab, run) == []


def test_the_main_states_as_pictures(tab: Tab, run: Running, tmp_path: Path) -> None:
    for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")):
        for name, state in (("list", None), ("answer", predict), ("errors", refuse)):
            tab.look(width, scheme)
            if state is None:
                tab.open(at(run, "/models"))
            else:
                state(tab, run)
            path = tmp_path / f"{name}-{width}-{scheme}.png"
            tab.shot(path)
            assert path.stat().st_size > 10_000


def test_the_whole_loop_by_keys(tab: Tab, run: Running, shelf: Shelf) -> None:
    tab.open(at(run, "/models"))
    stops = tab.walk()
    assert [stop for stop in stops if not stop["ring"]] == []
    names = [stop["name"] for stop in stops]
    assert names[0] == "Skip to the content"
    assert "Model files to upload" in names
    tab.open(at(run, "/models"))
    tab.press_until("forecast")
    tab.key("Enter")
    tab.until("location.pathname === '/models/forecast'")
    tab.until("document.readyState === 'complete'")
    tab.press_until("series 1 of 20")
    tab.type("7")
    tab.key("Enter")
    tab.until(ANSWERED)
    assert tab.run("document.querySelector('.num-in').value") == "7"
    tab.press_until("series 2 of 20")
    tab.type("8")
    tab.key("Enter", control=True)
    second = "document.querySelectorAll('.num-in')[1].value === '8'"
    tab.until(f"{second} && !document.querySelector('[aria-disabled]')")
    stops = tab.walk()
    assert [stop for stop in stops if not stop["ring"] or stop["under"]] == []
    tab.press_until("Delete version 1")
    tab.key("Enter")
    tab.until("document.querySelector('.flash button')")
    assert 1 in shelf.models["forecast"].trash
    tab.press_until("Undo")
    tab.key("Enter")
    tab.until("document.querySelector('.flash')?.textContent.includes('is back')")
    assert sorted(shelf.models["forecast"].versions) == [1, 2, 3, 4]


def test_the_whole_loop_without_scripts(
    tab: Tab, run: Running, shelf: Shelf, tmp_path: Path
) -> None:
    tab.scripts(on=False)
    tab.open(at(run, "/models"))
    assert "need JavaScript" in tab.text()
    file = tmp_path / "churn.onnx"
    file.write_bytes(b"a model")
    tab.choose("input[type=file]", file)
    tab.click("form.drop button", leaves=True)
    assert "Version 1 is uploaded and served." in tab.text()
    tab.open(at(run, "/models/forecast"))
    tab.click(".btn.main", leaves=True)
    assert "Answer" in tab.text()
    assert "curl -sS" in tab.text()
    tab.open(at(run, "/models/forecast"))
    tab.click("button[aria-label='Delete version 1']", leaves=True)
    assert "is in the trash" in tab.text()
    tab.click(".flash button", leaves=True)
    assert "Version 1 is back." in tab.text()
    assert sorted(shelf.models["forecast"].versions) == [1, 2, 3, 4]


def test_a_wrong_cell_has_the_focus_and_keeps_its_text(tab: Tab, run: Running) -> None:
    refuse(tab, run)
    assert tab.run("document.activeElement.name") == "c0.6"
    assert tab.run("document.activeElement.value") == "26,01"
    assert "write 26.01" in tab.run("document.querySelector('#problem').textContent")
    assert "write 26.01" in tab.run("document.querySelector('#said').textContent")


def test_calls_that_come_while_one_types_change_the_figures_alone(
    tab: Tab, run: Running, shelf: Shelf
) -> None:
    tab.open(at(run, "/models/forecast"))
    tab.press_until("series 3 of 20")
    tab.type("12")
    tab.run("scrollTo(0, 200)")
    before = tab.run("document.querySelector('[data-live=facts]').textContent")
    shelf.models["forecast"].minutes[-1] = Minute(100_000, 2, 0.1, 0.2)
    changed = f"document.querySelector('[data-live=facts]').textContent !== {json.dumps(before)}"
    tab.until(changed)
    assert tab.run("document.activeElement.name") == "c0.2"
    assert tab.run("document.activeElement.value") == "12"
    assert tab.run("scrollY") == 200


def test_a_server_that_is_gone_is_told_and_one_that_is_back(tab: Tab, shelf: Shelf) -> None:
    tab.scripts(on=True)
    with shown(shelf) as run:
        port = run.port
        tab.open(at(run, "/models/forecast"))
    tab.until("document.querySelector('#live').textContent.includes('Not connected since')")
    with shown(shelf, port=port):
        tab.until("document.querySelector('#live').textContent.trim() === 'Live'")


def test_files_that_are_dropped_are_uploaded(tab: Tab, run: Running, shelf: Shelf) -> None:
    tab.open(at(run, "/models"))
    tab.run(DROPPING)
    assert tab.run("window.marked")
    told = "[...document.querySelectorAll('#jobs .wide')].map((one) => one.textContent)"
    tab.until(f"{told}.length === 3 && !document.querySelector('#jobs progress')")
    first, second, third = tab.run(told)
    assert first == "version 1 is served Open"
    assert "expected a model, found a text" in second
    assert third == "version 1 is served Open"
    assert tab.run("document.querySelectorAll('#jobs img').length") == 0
    tab.until("[...document.querySelectorAll('.item .cut')].some((one) => one.textContent === 'a')")


def test_an_image_is_answered_and_stays(tab: Tab, run: Running, tmp_path: Path) -> None:
    from PIL import Image

    file = tmp_path / "scene <b>.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
    tab.open(at(run, "/models/photo"))
    tab.choose("input[name=image]", file)
    tab.until("document.querySelector('[data-image] img').naturalWidth")
    tab.click(".btn.main")
    tab.until(ANSWERED)
    assert "valley, vale" in tab.run("document.querySelector('#answer').textContent")
    assert tab.run("document.querySelector('input[name=image]').files.length") == 1
    tab.until("document.querySelector('[data-image] img').naturalWidth")
    assert foreign(tab, run) == []


def test_a_prediction_that_takes_long_says_so_and_can_be_left(
    tab: Tab, run: Running, shelf: Shelf
) -> None:
    shelf.hold.clear()
    try:
        tab.open(at(run, "/models/forecast"))
        tab.click(".btn.main")
        tab.until("document.querySelector('.btn.main').textContent.includes('Predicting, 2 s…')")
        tab.click("[data-stop]")
        tab.until("document.querySelector('#said').textContent === 'Cancelled.'")
        assert tab.run("document.querySelector('.btn.main').textContent.trim()") == "Predict"
    finally:
        shelf.hold.set()


def test_a_busy_server_is_asked_again(tab: Tab, run: Running, shelf: Shelf) -> None:
    busy = [Overloaded("64 calls wait already", retry_after=3)]
    well = shelf.models["forecast"].call

    def call(x: np.ndarray) -> np.ndarray:
        if busy:
            raise busy.pop()
        return well(x)

    shelf.models["forecast"].call = call
    tab.open(at(run, "/models/forecast"))
    tab.click(".btn.main")
    tab.until("document.querySelector('#problem')?.textContent.includes('503 Overloaded')")
    tab.until("document.querySelector('.btn.main').textContent.includes('Sent again in')")
    tab.until(ANSWERED)
    assert not busy
    assert tab.run("document.querySelector('.btn.main').textContent.trim()") == "Predict"


def test_a_graph_is_drawn_in_a_frame_that_reaches_nothing_else(tab: Tab, run: Running) -> None:
    tab.open(at(run, "/models/forecast#graph"))
    (address,) = tab.run("[...document.querySelectorAll('iframe')].map((one) => one.src)")
    assert tab.run("document.querySelector('iframe').getAttribute('sandbox')") == "allow-scripts"
    tab.until("document.querySelector('#graph').open")
    tab.open(address)  # whose policy puts it in the same sandbox
    tab.until("document.querySelectorAll('#canvas .node, .canvas .node, svg .node').length > 5")
    assert "Conv2D" in tab.run("document.querySelector('svg.canvas, #canvas').textContent")
    assert foreign(tab, run) == []
    assert tab.run("window.origin") == "null"
    reach = "fetch({url}).then(() => 'reached', (error) => error.name)"
    for url in (
        at(run, "/models"),
        at(run, "/repository/models"),
        at(run, "/v2"),
        "http://127.0.0.1:9/",
    ):
        assert tab.run(reach.format(url=json.dumps(url))) == "TypeError"


def test_netron_of_another_year_starts_as_well(tab: Tab, run: Running) -> None:
    tab.open(at(run, "/models/forecast"))
    address = tab.run("document.querySelector('iframe').src")
    later = 2 * 365 * 24 * 3600 * 1000
    script = tab.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source=f"{{ const Then = Date; window.Date = class extends Then {{ constructor(...given) "
        f"{{ if (given.length) super(...given); else super(Then.now() + {later}); }} }}; }}",
    )
    try:
        tab.open(address)
        tab.until("document.querySelectorAll('svg .node').length > 5")
        assert foreign(tab, run) == []
    finally:
        tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_the_way_to_a_graph_cannot_be_guessed(run: Running) -> None:
    page = run.ask("GET", "/models/forecast", accept="text/html")[2].decode()
    address = page.split('src="/netron/')[1].split('"')[0].replace("&amp;", "&")
    status, headers, body = run.ask("GET", f"/netron/{address}")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "sandbox allow-scripts;" in policy
    place = body.decode().split('name="file" content="')[1].split('"')[0]
    assert f"connect-src http://127.0.0.1:{run.port}/netron/{place} " in policy
    status, headers, data = run.ask("GET", f"/netron/{place}")
    assert (status, data) == (200, (ROOT / "models" / "digits.tflite").read_bytes())
    assert headers["access-control-allow-origin"] == "null"
    assert headers["content-disposition"] == "attachment"
    key = place.split("/")[0]
    for wrong in (
        place.replace(key, key[:-1] + ("0" if key[-1] != "0" else "1")),
        place.replace("/4/", "/3/"),
        place.replace("forecast", "photo"),
        f"{key}/forecast/4/..%2f..%2fetc%2fpasswd",
    ):
        assert run.ask("GET", f"/netron/{wrong}")[0] in (400, 404), wrong
    assert run.ask("GET", f"/netron/{address.replace('version=4', 'version=3')}")[0] == 404
    for name in ("__init__.py", "server.py", "..%2f__init__.py", "index.html", "none.js"):
        assert run.ask("GET", f"/netron/{name}")[0] in (400, 404)


def test_without_netron_there_is_no_graph(run: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netron, "find_spec", lambda name: None)
    netron.installed.cache_clear()
    try:
        page = run.ask("GET", "/models/forecast", accept="text/html")[2]
        assert b"iframe" not in page
        assert run.ask("GET", "/netron/view.js")[0] == 404
    finally:
        monkeypatch.undo()
        netron.installed.cache_clear()


def test_the_pages_can_be_read_in_forced_colours_and_without_motion(tab: Tab, run: Running) -> None:
    tab.look(1280, "dark", **{"forced-colors": "active", "prefers-reduced-motion": "reduce"})
    tab.open(at(run, "/models/forecast"))
    assert tab.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert (
        tab.run("getComputedStyle(document.querySelector('.btn.main')).borderTopStyle") == "solid"
    )
    assert tab.run("getComputedStyle(document.querySelector('.plot')).forcedColorAdjust") == "none"
