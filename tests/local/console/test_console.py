"""The console over HTTP: what its pages say, what may be sent, and what is refused."""

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from gpfn.local.call_record import CallBody
from gpfn.local.calling import CallStages
from gpfn.local.console.answers import body_text
from gpfn.local.console.asking import PageAsked
from gpfn.local.console.blame import call_parts
from gpfn.local.console.bridge import read_metrics
from gpfn.local.console.looking import look
from gpfn.local.console.views import ShownFunction
from gpfn.serving.pages.plots import even_ticks
from tests.http.loop.running import read_all

from .standing import SAMPLES, Standing, call, some, standing

HTML = {"Accept": "text/html"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", **HTML}
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def run() -> Iterator[Standing]:
    with standing(some()) as run:
        yield run


def ask(
    run: Standing, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], str]:
    told = {"Host": f"127.0.0.1:{run.port}", "Connection": "close", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in told.items())]
    lines += [f"Content-Length: {len(body)}", "", ""]
    with socket.create_connection(("127.0.0.1", run.port), timeout=20) as sock:
        sock.sendall("\r\n".join(lines).encode("latin-1") + body)
        head, _, rest = read_all(sock).partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    return (
        int(first.split()[1]),
        dict(line.split(": ", 1) for line in fields),
        rest.decode("utf-8", "replace"),
    )


def page(run: Standing, query: str = "") -> str:
    status, _, text = ask(run, "GET", f"/ui/{query}", **HTML)
    assert status == 200, text
    return text


def send(run: Standing, **fields: str) -> tuple[int, dict[str, str], str]:
    usual = {"function": "f1", "way": "fn", "event": "[[1]]", "times": "1"}
    return ask(run, "POST", "/ui/send", urlencode({**usual, **fields}).encode(), **FORM)


def test_a_page_has_a_policy_and_loads_nothing_but_its_own(run: Standing) -> None:
    status, headers, text = ask(run, "GET", "/ui", **HTML)
    assert status == 200
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "connect-src 'self'" in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "http://" not in text.replace(run.url, "").replace("http://127.0.0.1:3233", "")
    for name in text.split("/ui/assets/")[1:]:
        got, kept, _ = ask(run, "GET", f"/ui/assets/{name.split(chr(34))[0]}")
        assert (got, kept["cache-control"]) == (200, "public, max-age=31536000, immutable")
    for wrong in ("pages.py", "..%2fpages.py", "none.css", "..%2f..%2fhandler.py"):
        assert ask(run, "GET", f"/ui/assets/{wrong}")[0] in (400, 404)


def test_each_page_is_there_as_json(run: Standing) -> None:
    text = page(run, "?function=f1&only=cold")
    link = text.split('href="/ui/console.json')[1].split('"')[0].replace("&amp;", "&")
    status, headers, body = ask(run, "GET", f"/ui/console.json{link}")
    told = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert [one["name"] for one in told["functions"]] == ["classify", "digits", "forecast"]
    assert all(one["cold"] for one in told["calls"])
    assert len(told["calls"]) == 3
    assert told["call"]["parts"][-1]["name"] == "transport"
    assert [row["what"] for row in told["differences"]] == ["Idle", "Files", "Memory"]


def test_the_list_has_filters_and_pages(run: Standing) -> None:
    def numbers(query: str) -> list[int]:
        return [int(one.split('"')[0]) for one in page(run, query).split('data-number="')[1:]]

    first = numbers("")
    assert first == list(range(44, 24, -1))
    assert numbers(f"?before={first[-1]}") == list(range(24, 4, -1))
    assert numbers("?before=5") == [4, 3, 2, 1]
    assert len(numbers("?only=failed")) == 2
    assert len(numbers("?only=cold&of=1&function=f1")) == 3
    assert len(numbers("?of=1&function=f2")) == 11
    assert "No call is like that." in page(run, "?only=cold&of=1&function=f3")


@pytest.mark.parametrize(
    "query",
    ["?call=99999999999999999999999", "?call=-1", "?before=x", "?span=7", "?only=%00", "?call=0",
     "?function=%3Cscript%3E", "?sample=../../etc/passwd", "?call=%ff", "?" + "a=1&" * 200],
)  # fmt: skip
def test_an_address_that_says_nonsense_is_a_page_all_the_same(run: Standing, query: str) -> None:
    text = page(run, query)
    assert '<h2 id="calls">' in text
    assert "<script>" not in text


def test_a_query_of_very_many_fields_is_refused(run: Standing) -> None:
    assert ask(run, "GET", "/ui/?" + "a=1&" * 300, **HTML)[0] == 413


def test_an_event_is_sent_as_its_platform_has_it(run: Standing) -> None:
    event = SAMPLES["forecast.json"].decode()
    status, headers, _ = send(run, event=event, cold="1", times="3", way="trigger")
    assert status == 303
    assert headers["location"].startswith("/ui/?function=f1&call=47")
    assert [one.cold for one in run.functions.sent] == [True, False, False]
    assert {one.way for one in run.functions.sent} == {"trigger"}
    assert run.functions.sent[0].media_type == "application/cloudevents+json"
    send(run, event="[1]")
    send(run, event="hello")
    send(run, event="{broken")
    kinds = [one.media_type for one in run.functions.sent[3:]]
    assert kinds == ["application/json", "text/plain; charset=utf-8", "application/json"]
    shown = page(run, headers["location"].removeprefix("/ui/").partition("#")[0])
    assert "series-2024-12" in shown.split("<textarea")[1].split("</textarea>")[0]


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"function": "none"}, 404, "not there any more"),
        ({"way": "magic"}, 400, "is not called as magic"),
        ({"times": "0"}, 400, "from 1 to 100"),
        ({"times": "101"}, 400, "from 1 to 100"),
        ({"times": "9" * 5000}, 400, "from 1 to 100"),
        ({"times": "²"}, 400, "from 1 to 100"),
    ],
)
def test_what_is_wrong_with_a_form_is_told(
    run: Standing, fields: dict[str, str], status: int, told: str
) -> None:
    got, _, text = send(run, **fields)
    assert got == status
    assert told in text
    assert run.functions.sent == []


def test_a_form_that_is_none_is_refused(run: Standing) -> None:
    many = urlencode([(f"a{n}", "1") for n in range(999)]).encode()
    assert ask(run, "POST", "/ui/send", b"\xff=\xff", **FORM)[0] in (400, 404)
    assert ask(run, "POST", "/ui/send", many, **FORM)[0] == 413
    assert ask(run, "POST", "/ui/send", b"{}", **{"Content-Type": "text/xml"})[0] == 415
    assert ask(run, "POST", "/ui/send", b"x" * (9 << 20), **FORM)[0] == 413
    assert ask(run, "GET", "/ui/send")[0] == 405
    assert ask(run, "GET", "/ui/nowhere")[0] == 404
    assert run.functions.sent == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["/ui/send", "/ui/again"])
def test_a_page_of_another_site_may_send_nothing(
    run: Standing, headers: dict[str, str], path: str
) -> None:
    body = urlencode({"function": "f1", "way": "fn", "event": "[]", "call": "1"}).encode()
    assert ask(run, "POST", path, body, **{**FORM, **headers})[0] == 403
    assert run.functions.sent == []


@pytest.mark.parametrize("path", ["/ui/", "/ui/console.json", "/ui/events"])
def test_another_name_reads_nothing(run: Standing, path: str) -> None:
    assert ask(run, "GET", path, Host="evil.example")[0] == 403


def test_what_a_hosted_fn_would_not_take_is_told(run: Standing) -> None:
    assert "a hosted Fn" not in page(run)
    run.add(call(0, request=CallBody("image/png", b"x", 7_000_000)))
    told = "its event has 7.0 MB; a hosted Fn takes at most 6 MiB"
    assert told in page(run)
    assert json.loads(ask(run, "GET", "/ui/console.json")[2])["call"]["warning"] == told


def test_a_call_is_sent_again_as_it_was(run: Standing) -> None:
    body = urlencode({"call": "1"}).encode()
    assert ask(run, "POST", "/ui/again", body, **FORM)[0] == 303
    assert run.functions.sent[0].body == SAMPLES["forecast.json"]
    assert ask(run, "POST", "/ui/again", b"call=999", **FORM)[0] == 404
    (large,) = run.add(call(0, request=CallBody("text/plain", b"x" * (64 << 10), 1 << 20)))
    status, _, text = ask(run, "POST", "/ui/again", f"call={large.number}".encode(), **FORM)
    assert status == 400
    assert "only the first 64 kB" in text


def test_bodies_are_cut_with_a_word(run: Standing) -> None:
    data = b"y" * 300_000
    (kept,) = run.add(
        call(0, request=CallBody.of("text/plain", data), reply=CallBody.of("text/plain", data))
    )
    text = page(run, f"?call={kept.number}")
    assert text.count("The first 64 kB of 300 kB are shown.") == 2
    assert len(text) < 300_000


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\1\2", b"\xff\xfe", b"[" * 5000, b"null", b"{}", b'{"data": null}', b"[1e999, 2]",
     b'{"results": []}', b'{"results": [{}]}', b'[{"label": null, "score": "x"}]', b"[[], []]",
     b'{"results": [{"className": "a", "probability": -1}]}', b"[true, false]", b"[3, 3, 3]",
     b'[{"label": "a", "score": 1e308}, {"label": "b", "score": -1e308}]', b"[-1e308, 1e308]",
     b"[" * 300 + b"]" * 300, b"[" * 250 + b"{}," * 999 + b"{}" + b"]" * 250,
     b"[1, %d]" % 10**400, b'[{"label": "a", "score": %d}]' % 10**400],
)  # fmt: skip
def test_every_answer_can_be_shown(run: Standing, body: bytes) -> None:
    both = CallBody("application/json", body, len(body))
    (kept,) = run.add(call(0, request=both, reply=both, memory=0))
    assert f'data-call="{kept.number}"' in page(run, f"?call={kept.number}")
    assert ask(run, "GET", f"/ui/console.json?call={kept.number}")[0] == 200


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"id":12345678901234567890123}', '{\n  "id": 12345678901234567890123\n}'),
        (b'[[1,\n2],{"a":"[  b  ]"}]', '[\n  [1, 2],\n  {\n    "a": "[  b  ]"\n  }\n]'),
        (b"[" * 300 + b"]" * 300, "[" * 300 + "]" * 300),  # as it came
    ],
)
def test_json_is_laid_out_with_what_it_says(data: bytes, shown: str) -> None:
    assert body_text(CallBody.of("application/json", data)) == shown


def test_json_that_is_nested_deeply_takes_no_time() -> None:
    began = time.perf_counter()
    body_text(CallBody.of("application/json", b"[" * 250 + b"]" * 250))
    assert time.perf_counter() - began < 1.0  # it had been 3 s, in which nothing else is answered


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": CallStages()},
        {"stages": CallStages(0.5, 2.0, 0.3, 0.001)},
        {"stages": CallStages(start=1e9, run=1e-9)},
        {"status": 0},
        {"status": 500, "reply": CallBody()},
        {"log": ((0.0, "stderr", " 1 ms (decode 1.2.3, predict 9999)"),)},
        {"log": ((1e11, "x" * 999, "\x1b[31m\0" + "y" * 99_999),)},
        {"memory": 1 << 50},
        {"began": -1.0},
        {"began": 1e11},
    ],
)
def test_every_call_can_be_shown(run: Standing, changes: dict[str, Any]) -> None:
    (kept,) = run.add(call(0, **changes))
    assert f'data-call="{kept.number}"' in page(run, f"?call={kept.number}&function=f1&span=1")


def test_a_call_is_divided_by_what_its_runner_says(run: Standing) -> None:
    cold, parts = call_parts(call(0, stages=CallStages(0.001, 0.2004, 0.0, 0.00152)))
    assert [(one.name, one.kind) for one in cold] == [
        ("process start", "cold"), ("import", "cold"), ("load", "cold"), ("warm-up", "cold")
    ]  # fmt: skip
    assert [(one.name, one.kind) for one in parts] == [
        ("wait", "wire"), ("decode", "wire"), ("before", "yours"), ("predict", "model"),
        ("encode", "wire"), ("transport", "wire"),
    ]  # fmt: skip
    assert sum(one.seconds for one in parts) == pytest.approx(0.00252)
    assert sum(one.seconds for one in cold) == pytest.approx(0.2004)
    assert [one.name for one in call_parts(call(0, log=()))[1]] == ["call"]


def test_the_same_from_a_shell_runs_as_it_stands(run: Standing) -> None:
    quoted = 'it\'s "$HOME" `id`'
    body = json.dumps({"data": quoted}).encode()
    (kept,) = run.add(call(0, request=CallBody("application/json", body, len(body))))
    from html import unescape

    text = unescape(page(run, f"?call={kept.number}").split("The same from a shell")[1])
    import subprocess

    lines = [one.split(">")[1].split("</pre")[0] for one in text.split("<pre ")[1:4]]
    for line, program in zip(lines, ("fn", "curl", "gpfn"), strict=True):
        script = f"{program}() {{ cat; }}; {line}"
        got = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=20)
        assert got.stdout == body, line
    assert "01FORECAST" in lines[1]
    assert "models/forecast" in lines[2]


def test_names_and_texts_are_text(run: Standing) -> None:
    (kept,) = run.add(
        call(0, name=SCRIPT, caller=SCRIPT, via=SCRIPT, status=500, detail=SCRIPT,
             log=((1.0, SCRIPT, SCRIPT),), request=CallBody(SCRIPT, SCRIPT.encode()),
             reply=CallBody(SCRIPT, SCRIPT.encode()))
    )  # fmt: skip
    text = page(run, f"?call={kept.number}")
    assert SCRIPT not in text
    assert text.count("&lt;script&gt;alert(1)") > 7
    status, headers, text = ask(run, "GET", f"/ui/{SCRIPT}".replace(" ", ""), **HTML)
    assert status == 404
    assert SCRIPT not in text
    assert "content-security-policy" in headers


METRICS = """# HELP x y
gpfn_bridge_ready 1
gpfn_bridge_received_total 120
gpfn_bridge_dead_letters_total 3
gpfn_bridge_events_total{outcome="done"} 117
gpfn_bridge_events_total{outcome="exhausted"} 3
gpfn_bridge_call_seconds_bucket{route="to-forecast",le="0.005"} 100
gpfn_bridge_call_seconds_sum{route="to-forecast"} 0.36
gpfn_bridge_call_seconds_count{route="to-forecast"} 120
gpfn_bridge_call_seconds_count{route="<b>\\"x\\""} 0
gpfn_bridge_nonsense 1e5e5
"""


def test_a_bridge_is_read_from_its_figures() -> None:
    facts = read_metrics("http://127.0.0.1:9400", METRICS)
    assert facts.problem == ""
    assert facts.routes["to-forecast"] == (120, 0.36)
    assert facts.outcomes == {"done": 117, "exhausted": 3}
    assert facts.numbers["received_total"] == 120
    assert "no figures of a bridge" in read_metrics("x", "hello").problem.lower()


def test_a_bridge_that_is_named_is_shown(run: Standing) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(METRICS.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    assert "Dead letters" not in page(run)
    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with standing(bridge=f"http://127.0.0.1:{server.server_port}") as other:
            page(other)
            text = _until(other, "to-forecast")
            assert "3 exhausted" in text
            assert "gpfn bridge dead list" in text
            assert "<b>" not in text.split('id="bridge"')[1].split("Dead letters")[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    with standing(bridge="http://127.0.0.1:9") as other:
        page(other)
        assert "It does not answer" in _until(other, "does not answer")


def _until(run: Standing, words: str) -> str:
    import time

    end = time.monotonic() + 10
    while words not in (text := page(run)):
        assert time.monotonic() < end, text[-3000:]
        time.sleep(0.1)
    return text


def test_an_hour_of_very_many_calls_is_counted_and_does_not_hold_the_loop() -> None:
    many = [
        call(3500 * n / 12_480, key=f"f{n % 3 + 1}", cold=n == 6000, status=502 if n == 3 else 200)
        for n in range(12_480, 0, -1)
    ]
    with standing(many) as run:
        asked = PageAsked("f1", call=6480, span=60)

        def processor_seconds() -> float:
            began = time.thread_time()
            look(run.calls, run.functions.functions(), asked)
            return time.thread_time() - began

        took = [run.on_loop(processor_seconds) for _ in range(5)]
        assert min(took) < 0.1  # 0.25 s when each call was fetched, 0.03 s when counted
        text = page(run, asked.address(""))
        assert "12,480 in 60 min" in text
        drawn = text.split('id="lanes-d">')[1].split("</svg></div>")[0]
        assert drawn.startswith("12,480 calls in 60 min: classify 4,160, digits 4,160, forecast")
        assert "1 cold starts, 1 failed" in drawn
        assert drawn.count('class="halo"') == 1
        assert drawn.count('class="f-cold"') == 1
        assert drawn.count('class="ln s-forecast"') == 1


def test_the_event_of_a_call_is_to_be_had_as_bytes_and_never_as_a_page(run: Standing) -> None:
    body = SCRIPT.encode()
    kept, cut = run.add(
        call(0, request=CallBody("text/html", body)),
        call(0, request=CallBody("text/html", body, 1 << 20)),
    )
    path = f"/ui/calls/{kept.number}/event"
    status, headers, text = ask(run, "GET", path, **HTML)
    assert (status, text) == (200, SCRIPT)
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == "attachment"
    assert headers["x-content-type-options"] == "nosniff"
    assert ask(run, "GET", path, Host="evil.example")[0] == 403
    for wrong in (cut.number, 999_999, 0, "x", "-1", "9" * 400):
        assert ask(run, "GET", f"/ui/calls/{wrong}/event")[0] in (400, 404)


def test_what_cannot_be_seen_or_turns_text_round_is_written_out(run: Standing) -> None:
    text = "a\u202eb\x1b[31m\x00\u200fc \u05d0\u05d1 😀\u2028\x7f\x9b"
    seen = "a\\u202eb\\u001b[31m\\u0000\\u200fc \u05d0\u05d1 😀\\u2028\\u007f\\u009b"
    body = json.dumps({"error": text, "long": "z" * 9000}, ensure_ascii=False).encode()
    (kept,) = run.add(
        call(0, status=502, detail=text, log=((1.0, "stdout", text), (1.0, "stderr", "w" * 65_536)),
             request=CallBody("text/plain", text.replace("\0", "").encode()),
             reply=CallBody("application/json", body))
    )  # fmt: skip
    shown = page(run, f"?call={kept.number}")
    panel = shown.split('id="call"')[1].split('aria-labelledby="calls"')[0]
    assert panel.count(seen) == 3  # what failed, the log, and the event that came
    assert "\u202e" not in panel
    assert "\x1b" not in panel
    assert "w…  (65,536 characters)".replace("  ", " ") in panel


def _drawn(text: str) -> tuple[list[tuple[float, float]], list[tuple[float, float]], list[str]]:
    """Return the points of actual and forecast as they are drawn, and the labels."""
    plot = text.split('id="answer-plot-d">')[1].split("</figure>", maxsplit=1)[0]
    points = [
        [
            (float(x), float(y))
            for x, y in re.findall(rf'{kind}" cx="([\d.]+)%" cy="([\d.]+)"', plot)
        ]
        for kind in ("f-actual", "f-forecast")
    ]
    return points[0], points[1][: len(points[0]) + 1], re.findall(r"<text[^>]*>([^<]*)<", plot)


def test_a_forecast_is_drawn_at_its_values_on_an_even_scale(run: Standing) -> None:
    text = page(run, "?function=f1&call=1")
    told = json.loads(ask(run, "GET", "/ui/console.json?function=f1&call=1")[2])["call"]
    given = [row[0] for row in json.loads(told["request"]["text"])["data"][0]]
    got = [row[0] for row in json.loads(told["reply"]["text"])["data"][0]]
    actual, forecast, labels = _drawn(text)
    assert len(actual) == 19
    assert len(forecast) == 20
    assert [label for label in labels if label.isdecimal()] == [
        "24", "28", "32", "36", "40", "1", "5", "10", "15", "20",
    ]  # fmt: skip
    assert f"next {got[-1]:.4g}" in labels
    lines = re.findall(r'class="(?:axis|grid)" x1="0" x2="100%" y1="([\d.]+)"', text.split(
        'id="answer-plot-d"')[1])[:5]  # fmt: skip
    low, high = float(lines[0]), float(lines[4])
    for numbers, points in ((given[1:], actual), (got, forecast)):
        for at, (value, (x, y)) in enumerate(zip(numbers, points, strict=True)):
            assert x == pytest.approx(2 + 96 * at / 19, abs=0.01)
            assert 24 + 16 * (low - y) / (low - high) == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.5, 1]),
        (3, 3, [1, 2, 3, 4, 5]),
        (0, 0, [-1, 0, 1]),
        (-0.3, 0.7, [-0.4, 0, 0.4, 0.8]),
        (1_000_001, 1_000_003, [1_000_001, 1_000_002, 1_000_003]),
        (-1e300, 1e300, [-1e300, 0, 1e300]),
    ],
)
def test_a_scale_is_even(low: float, high: float, ticks: list[float]) -> None:
    assert even_ticks(low, high) == pytest.approx(ticks)


def test_what_is_as_in_production_is_folded_away(run: Standing) -> None:
    panel = page(run).split('id="diff"')[1].split("</section>")[0]
    differing, same = panel.split("<details")
    assert "1 of 3 differ" in differing
    assert "Files" in differing
    assert "Idle" not in differing
    assert "2 are as in production" in same


def test_the_list_says_function_and_way_in_few_words(run: Standing) -> None:
    run.add(call(0, name="demo/forecast", via="trigger /t/demo/" + "long" * 40))
    table = page(run).split('id="calls"')[1].split("</table>")[0]
    assert '<td class="cut called">forecast<span class="sub else-m">Fn trigger</span></td>' in table
    assert "longlong" not in table


def test_of_fifty_lanes_the_chosen_one_and_the_busiest_are_drawn() -> None:
    calls = [call(n, key=f"m{n}", name="x") for n in range(50) for _ in range(1 + (n == 30))]
    with standing(calls) as run:
        run.functions.shown[:] = [
            ShownFunction(f"m{n}", f"function-{n:02}", "models", (f"m{n}",)) for n in range(50)
        ]
        text = page(run, "?function=m40").split('id="lanes-d"')[1].split("</section>")[0]
        names = re.findall(r">funct…n-([0-9]+)<", text)
        assert names == [*(f"{n:02}" for n in range(10)), "30", "40"]
        assert "38 more are not drawn" in text
