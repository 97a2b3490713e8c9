"""The console in Chromium, by the list of acceptance of the reference pages."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpfn.local.call_record import CallBody
from gpfn.local.calling import CallStages
from gpfn.local.console.views import ShownFunction
from tests.serving.pages.chromium import Tab, chromium
from tests.serving.pages.test_browser import CHECKS, SPACING, WIDE, WIDTHS

from .standing import Standing, call, some, standing

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>\"'&amp;"
SENT = "document.querySelector('#call')?.textContent.includes('by console')"
LIVE = "document.querySelector('#live').textContent.trim()"
TICKS = "document.querySelectorAll('.lanes > svg').length"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def run(tab: Tab) -> Iterator[Standing]:
    tab.look(1280, "light")
    tab.scripts(on=True)
    with standing(some()) as run:
        yield run


def console(tab: Tab, run: Standing, query: str = "?function=f1") -> None:
    tab.open(f"{run.url}/ui/{query}")


def foreign(tab: Tab, run: Standing) -> list[str]:
    """Return what was asked of other servers, and what the policy or a script complained of."""
    asked = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    said = [
        event["params"]["entry"]["text"]
        for event in tab.events
        if event["method"] == "Log.entryAdded" and event["params"]["entry"]["source"] == "security"
    ]
    thrown = [
        json.dumps(e["params"]) for e in tab.events if e["method"] == "Runtime.exceptionThrown"
    ]
    own = (f"{run.url}/ui", "data:", "blob:")
    return [url for url in asked if not url.startswith(own)] + said + thrown


def hostile(run: Standing) -> None:
    """Have names, logs and answers that are scripts, and as long as they may be."""
    long = "forecast_at_monthly_granularity_for_the_north_" * 4
    body = json.dumps({"results": [{"className": HOSTILE * 9, "probability": 0.9}]}).encode()
    run.on_loop(
        lambda: run.functions.shown.append(
            ShownFunction("f9", HOSTILE + long, HOSTILE, state="failed", reason=HOSTILE * 9)
        )
    )
    run.add(
        call(9, key="f9", name=HOSTILE + long, caller=HOSTILE, via=f"trigger /t/{long}",
             log=tuple((time.time(), HOSTILE, HOSTILE * 20) for _ in range(300)),
             reply=CallBody(HOSTILE, body, len(body))),
        call(8, key="f9", name=HOSTILE + long, status=502, failure="crashed",
             detail=f"{HOSTILE} {long}" * 5, stages=CallStages(wait=1, start=2, run=0.1)),
    )  # fmt: skip


STATES = {
    "usual": "?function=f1",
    "cold": "?function=f1&call=1",
    "classes": "?function=f2&call=2",
    "failed": "?only=failed&call=19",
    "empty": "",
    "gone": "?function=f2&call=123456",
    "no calls": "?function=f1",
    "hostile": "?function=f9",
    "hostile failure": "?function=f9&call=46",
}


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_wrong_at_any_width_in_light_and_dark(
    tab: Tab, run: Standing, state: str
) -> None:
    if state.startswith("hostile"):
        hostile(run)
    with standing() as empty:
        if state == "empty":
            empty.on_loop(empty.functions.shown.clear)
        console(tab, empty if state in ("empty", "no calls") else run, STATES[state])
        tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
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
            sideways = ("scrolls side", "outside", "text")
            assert [line for line in found if line.startswith(sideways)] == []
        assert tab.run("window.hacked") is None
        assert foreign(tab, empty if state in ("empty", "no calls") else run) == []


def test_the_whole_loop_by_keys(tab: Tab, run: Standing) -> None:
    console(tab, run)
    stops = tab.walk()
    assert [stop for stop in stops if not stop["ring"] or stop["under"]] == []
    assert stops[0]["name"] == "Skip to the content"
    console(tab, run)
    tab.press_until("digits")
    tab.key("Enter")
    tab.until("location.search.includes('f3') && document.readyState === 'complete'")
    tab.press_until("forecast")
    tab.key("Enter")
    tab.until("location.search.includes('f1') && document.readyState === 'complete'")
    tab.run("document.querySelector('#event').focus()")
    tab.key("Enter", control=True)
    tab.until(SENT)
    assert len(run.functions.sent) == 1
    tab.press_until("Send again")
    tab.key("Enter")
    tab.until("document.querySelector('#call')?.dataset.call === '46'")
    assert run.functions.sent[1].body == run.functions.sent[0].body
    tab.press_until("Older")
    tab.key("Enter")
    tab.until("document.querySelector('#call')?.dataset.call === '45'")


def test_the_whole_loop_without_scripts(tab: Tab, run: Standing, tmp_path: Path) -> None:
    tab.scripts(on=False)
    console(tab, run)
    assert "need JavaScript" in tab.text()
    assert "As of" in tab.text()
    tab.click(".btn.main", leaves=True)
    assert "by console" in tab.text()
    tab.click("#call form button", leaves=True)
    assert len(run.functions.sent) == 2
    image = _picture(tmp_path)
    console(tab, run, "?function=f2")
    tab.choose("#image", image)
    tab.click(".btn.main", leaves=True)
    assert "valley, vale" in tab.text()
    assert run.functions.sent[2].media_type == "image/png"
    assert run.functions.sent[2].body == image.read_bytes()
    console(tab, run, "?only=failed")
    assert "504" in tab.text()


def _picture(folder: Path) -> Path:
    from PIL import Image

    file = folder / "scene <b>.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
    return file


def test_a_sample_is_chosen_sent_and_refused_at_the_field_with_its_text_kept(
    tab: Tab, run: Standing
) -> None:
    console(tab, run)
    tab.run("document.querySelector('#sample').focus()")
    tab.run(
        "{ const list = document.querySelector('#sample'); list.value = 'broken-19-numbers.json';"
        " list.dispatchEvent(new Event('change', { bubbles: true })); }"
    )
    nineteen = "!document.querySelector('#event').value.includes('30.32')"
    tab.until(nineteen)
    text = tab.run("document.querySelector('#event').value")
    tab.click(".btn.main")
    tab.until("document.querySelector('#event[aria-invalid=true]')")
    assert tab.run("document.activeElement.id") == "event"
    assert "expected 20 numbers, got 19" in tab.run(
        "document.querySelector('#event-problem').textContent"
    )
    assert "expected 20 numbers" in tab.run("document.querySelector('#failure').textContent")
    assert tab.run("document.querySelector('#event').value") == text
    assert tab.run("document.querySelector('#sample').value") == "broken-19-numbers.json"


def test_what_is_wrong_with_the_form_is_told_and_the_text_stays(tab: Tab, run: Standing) -> None:
    console(tab, run)
    tab.run("document.querySelector('#event').value = '[1, 2'")
    tab.run("document.querySelector('#times').value = 'often'")
    tab.click(".btn.main")
    tab.until("document.querySelector('#problem')")
    assert "from 1 to 100" in tab.run("document.querySelector('#problem').textContent")
    assert tab.run("document.querySelector('#event').value") == "[1, 2"
    assert run.functions.sent == []


def test_an_image_or_an_event_that_is_dropped_is_taken(tab: Tab, run: Standing) -> None:
    drop = """(name, kind, text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name, { type: kind }));
      const event = { dataTransfer: data, cancelable: true, bubbles: true };
      document.body.dispatchEvent(new DragEvent("dragover", event));
      document.body.dispatchEvent(new DragEvent("drop", event));
    }"""
    console(tab, run, "?function=f2")
    tab.run(f"({drop})('a.json', 'application/json', '[7]')")
    tab.until("document.querySelector('#event').value === '[7]'")
    tab.run(f"({drop})('a.png', 'image/png', 'no image')")
    tab.until("document.querySelector('#image').files.length === 1")
    tab.click(".btn.main")
    tab.until("document.querySelector('#problem')")
    assert "expected a JPEG" in tab.run("document.querySelector('#problem').textContent")


def test_a_hundred_calls_that_come_while_one_types_move_nothing(tab: Tab, run: Standing) -> None:
    console(tab, run)
    tab.until(f"{LIVE} === 'Live'")
    tab.run("document.querySelector('#event').focus()")
    tab.type("half a word")
    tab.run("scrollTo(0, 150)")
    chosen = tab.run("document.querySelector('#call').outerHTML")
    before = tab.run(TICKS)
    for _ in range(10):
        run.add(*[call(0) for _ in range(10)])
        time.sleep(0.1)
    tab.until(f"{TICKS} >= {before + 100}")
    assert tab.run("document.activeElement.id") == "event"
    assert tab.run("document.querySelector('#event').value") == "half a word"
    assert tab.run("scrollY") == 150
    assert tab.run("document.querySelector('#call').outerHTML") == chosen
    shown = "[...document.querySelectorAll('tr[data-number]')].map((one) => +one.dataset.number)"
    tab.until(f"{shown}[0] === 144")
    assert tab.run(shown) == list(range(144, 124, -1))
    assert foreign(tab, run) == []


def test_new_calls_wait_for_who_reads_the_list(tab: Tab, run: Standing) -> None:
    console(tab, run)
    tab.until(f"{LIVE} === 'Live'")
    tab.run("document.querySelectorAll('.goto')[3].focus()")
    rows = "[...document.querySelectorAll('tr[data-number]')].map((one) => +one.dataset.number)"
    before = tab.run(rows)
    run.add(*[call(0) for _ in range(7)])
    tab.until("document.querySelector('#more').textContent === 'Show 7 new calls'")
    assert tab.run(rows) == before
    assert tab.run("document.activeElement.className") == "goto"
    tab.run("document.querySelector('#more').click()")
    tab.until(f"{rows}[0] === 51")
    assert len(set(tab.run(rows))) == 20


def test_a_server_that_is_gone_is_told_and_what_was_missed_appears_once(tab: Tab) -> None:
    tab.scripts(on=True)
    tab.look(1280, "light")
    kept = some()
    with standing(kept) as run:
        console(tab, run)
        tab.until(f"{LIVE} === 'Live'")
        port = run.port
    began = time.monotonic()
    tab.until(f"{LIVE}.startsWith('Not connected since')")
    assert time.monotonic() - began < 20
    tab.run("document.querySelector('#retry').focus()")
    with standing([*kept, call(0), call(0), call(0)], port=port):
        tab.run("document.querySelector('#retry').click()")
        tab.until(f"{LIVE} === 'Live'")
        tab.until("document.querySelector('tr[data-number]').dataset.number === '47'")
        shown = "[...document.querySelectorAll('tr[data-number]')].map((one) => one.dataset.number)"
        numbers = tab.run(shown)
        assert len(numbers) == len(set(numbers)) == 20
        assert not tab.run("document.querySelector('#retry:not([hidden])')")


def test_paused_is_paused_until_it_goes_on(tab: Tab, run: Standing) -> None:
    console(tab, run)
    tab.until(f"{LIVE} === 'Live'")
    tab.click("#pause")
    assert tab.run(LIVE).startswith("Paused at")
    run.add(call(0))
    run.on_loop(lambda: None)
    time.sleep(0.7)
    first = "document.querySelector('tr[data-number]').dataset.number"
    assert tab.run(first) == "44"
    assert tab.run(LIVE).startswith("Paused at")
    tab.click("#pause")
    tab.run("document.activeElement.blur()")
    tab.until(f"{first} === '45'")
    assert tab.run(LIVE) == "Live"


def test_the_first_call_of_all_takes_the_place_of_no_calls(tab: Tab) -> None:
    tab.scripts(on=True)
    with standing() as run:
        console(tab, run)
        assert "No calls yet" in tab.text()
        run.add(call(0))
        tab.until("document.querySelector('#call').dataset.call === '1'")


def test_a_page_of_twelve_thousand_calls_is_small_and_still_quick(tab: Tab) -> None:
    tab.scripts(on=True)
    many = [call(3500 * n / 12_480, cold=n % 997 == 0) for n in range(12_480, 0, -1)]
    with standing(many) as run:
        began = time.monotonic()
        console(tab, run, "?function=f1&span=60")
        assert time.monotonic() - began < 10
        sizes = tab.run(
            "Promise.all([location.href, ...[...document.querySelectorAll('link[rel=stylesheet],"
            "script')].map((one) => one.href || one.src)].map((one) => fetch(one, "
            "{ headers: { accept: 'text/html' } }).then((got) => got.arrayBuffer())))"
            ".then((all) => all.map((one) => one.byteLength))"
        )
        assert sum(sizes) <= 150_000, sizes
        assert tab.run("document.querySelector('#calls + span').textContent") == "12,480 in 60 min"
        assert tab.run("document.querySelectorAll('.lanes rect').length") < 200


def test_a_call_that_takes_long_says_so_and_can_be_left(tab: Tab, run: Standing) -> None:
    import asyncio

    console(tab, run)
    run.on_loop(lambda: setattr(run.functions, "hold", asyncio.Event()))
    tab.click(".btn.main")
    tab.until("document.querySelector('.btn.main').textContent.includes('Sending, 2 s…')")
    tab.click("[data-stop]")
    tab.until("document.querySelector('#said').textContent === 'Cancelled.'")
    run.on_loop(lambda: run.functions.hold and run.functions.hold.set())


def test_the_console_can_be_read_in_forced_colours_and_without_motion(
    tab: Tab, run: Standing
) -> None:
    tab.look(1280, "dark", **{"forced-colors": "active", "prefers-reduced-motion": "reduce"})
    console(tab, run)
    assert tab.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert (
        tab.run("getComputedStyle(document.querySelector('.btn.main')).borderTopStyle") == "solid"
    )
    assert tab.run("getComputedStyle(document.querySelector('.plot')).forcedColorAdjust") == "none"
    assert "cold" in tab.run("document.querySelector('.items').textContent")


def test_of_fifty_functions_the_chosen_one_is_in_sight_and_the_list_stays(
    tab: Tab, run: Standing
) -> None:
    many = [ShownFunction(f"m{n}", f"function-{n:02}", "models", (f"m{n}",)) for n in range(50)]
    run.on_loop(lambda: run.functions.shown.extend(many))
    console(tab, run, "?function=m40")
    inside = """(() => {
      const item = document.querySelector(".item[aria-current]").getBoundingClientRect();
      const list = document.querySelector(".items").parentElement.getBoundingClientRect();
      return item.top >= list.top && item.bottom <= list.bottom;
    })()"""
    tab.until(f"{LIVE} === 'Live'")
    assert tab.run(inside)
    assert tab.run("document.querySelector('#sending').getBoundingClientRect().top") < 900
    run.add(call(0, key="m3", name="function-03"))
    tab.until("document.querySelector('.items').textContent.includes('1.')")
    assert tab.run(inside)
    tab.click(".btn.main")
    tab.until("document.querySelector('#call')?.dataset.call === '46'")
    assert tab.run(inside)
    assert tab.run(f"({CHECKS})()") == []
