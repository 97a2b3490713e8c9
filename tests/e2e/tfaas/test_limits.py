"""Who may do what, how often and for how long: in the real server everybody, always.

It listens on all interfaces, and has no limits of size and time.
"""

import hashlib
import json
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.tfaas.ours import serving, until_nothing_is_on_its_way
from tests.e2e.tfaas.recordings import Answer, Call
from tests.e2e.tfaas.replay import sessions
from tests.e2e.tfaas.wire import Wire
from tests.serving.forms import FORM, upload_form
from tests.serving.repository.onnx_files import scaled

ROW = json.dumps({"values": [1, 2, 3], "model": "m"}).encode()
FORM_OF_M = upload_form("m", scaled(2))
ELSEWHERE = ("--listen", "0.0.0.0:0")


@pytest.fixture(scope="module")
def calls(shared: Path) -> dict[str, Call]:
    return {call.case: call for each in sessions(shared).values() for call in each}


def upload(wire: Wire, **headers: str) -> int:
    return wire.send("POST", "/upload", FORM_OF_M, content_type=FORM, **headers).status


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer token-of-{name}"}


def tokens(folder: Path) -> tuple[str, str]:
    """Write a file of tokens, one for each scope; returns the option that names it."""
    scopes = ("predict", "write", "admin")
    lines = [f"{s} {s} {hashlib.sha256(f'token-of-{s}'.encode()).hexdigest()}\n" for s in scopes]
    file = folder / "tokens.txt"
    file.write_text("".join(lines))
    file.chmod(0o600)
    return "--tokens", str(file)


def test_nobody_from_elsewhere_uploads_or_deletes_without_a_token(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        assert upload(running.wire) == 200
    with serving(tmp_path, *ELSEWHERE) as running:
        wire = running.wire
        assert upload(wire) == 403
        assert upload(wire, **bearer("write")) == 403, "nobody was given one"
        assert wire.send("DELETE", "/delete/m").status == 403
        assert wire.send("POST", "/params", b'{"name": "m"}').status == 403
        assert wire.send("DELETE", "/repository/models/m").status == 403
        assert wire.send("POST", "/json", ROW).status == 200, "asking is for all"


def test_an_upload_from_elsewhere_works_with_a_token(tmp_path: Path) -> None:
    with serving(tmp_path, *ELSEWHERE, *tokens(tmp_path)) as running:
        wire = running.wire
        assert [upload(wire), upload(wire, **bearer("nobody"))] == [401, 401]
        assert upload(wire, **bearer("predict")) == 403
        assert wire.send("GET", "/models").status == 401
        assert json.loads(wire.send("GET", "/models", **bearer("predict")).body) == []
        assert upload(wire, **bearer("write")) == 200
        assert wire.send("POST", "/json", ROW).status == 401
        assert wire.send("POST", "/json", ROW, **bearer("predict")).body == b"[2,4,6]\n"
        assert wire.send("DELETE", "/delete/m", **bearer("predict")).status == 403
        assert wire.send("DELETE", "/delete/m", **bearer("write")).status == 200
        lines = (running.store / "audit.jsonl").read_text().splitlines()
        told = [(line["event"], line["who"]) for line in map(json.loads, lines)]
        assert told == [("upload", "write"), ("delete", "write")]


def test_the_real_clients_uploads_are_refused_where_they_have_no_token(
    calls: dict[str, Call], tmp_path: Path
) -> None:
    with serving(tmp_path, *ELSEWHERE) as running:
        for case in ("bundle luca", "python client: upload", "python client of 2018: upload"):
            answer = running.wire.ask(calls[case].exchanges[0])
            assert answer is not None
            assert answer.status == 403, case
            assert json.loads(answer.body)["error"]


def test_an_upload_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with serving(tmp_path, "--upload-time", "0.5") as running:
        place = f"{running.wire.host}:{running.wire.port}"
        head = f"POST /upload HTTP/1.1\r\nHost: {place}\r\nContent-Type: {FORM}\r\n"
        head += "Content-Length: 1000000\r\n\r\n"
        with socket.create_connection((running.wire.host, running.wire.port), 60) as connection:
            connection.sendall(head.encode() + FORM_OF_M[:200])
            until = time.monotonic() + 60
            while not select.select([connection], [], [], 0.05)[0]:
                connection.sendall(b"x")
                assert time.monotonic() < until
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert json.loads(running.wire.send("GET", "/models").body) == []
        until_nothing_is_on_its_way(running)


def test_a_client_may_ask_so_often_in_a_second(tmp_path: Path) -> None:
    """Until it is refused, and then until it may again: no matter how fast the machine is."""
    with serving(tmp_path, "--rate", "2-S") as running:
        wire = running.wire
        refused = until(wire, 429)
        assert refused.headers["x-ratelimit-limit"] == "2"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert int(refused.headers["x-ratelimit-reset"]) > 1_700_000_000
        assert refused.body == b'{"error":"Limit exceeded"}\n'
        assert until(wire, 200).headers["content-type"] == "application/json"


def test_a_client_is_an_address_and_not_what_it_says(tmp_path: Path) -> None:
    with serving(tmp_path, "--rate", "3-D") as running:
        made = [
            running.wire.send("GET", "/models", x_forwarded_for=f"192.0.2.{number}").status
            for number in range(5)
        ]
        assert made == [200, 200, 200, 429, 429]
        for path in ("/v2/health/ready", "/v2", "/metrics"):
            assert running.wire.send("GET", path).status == 200, "only TFaaS's paths are counted"


def until(wire: Wire, status: int) -> Answer:
    """Ask from many connections at once, until one is answered so."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with ThreadPoolExecutor(10) as pool:
            answers = [*pool.map(lambda _: wire.send("GET", "/models"), range(10))]
        for answer in answers:
            if answer.status == status:
                return answer
    raise AssertionError(status)


@pytest.mark.parametrize("base", ["/tfaas", "tfaas", "/tfaas/", "/a/b"])
def test_all_paths_are_below_a_base(base: str, calls: dict[str, Call], tmp_path: Path) -> None:
    """As the unmodified client has them: it puts its paths behind the URL that it is given."""
    with serving(tmp_path, "--base-path", base) as running:
        below = "/" + base.strip("/")
        for case, status in (
            ("python client: upload", 200),
            ("python client: predict, --model", 200),
            ("python client: models", 200),
            ("python client: delete", 200),
            ("python client: predict, --model", 404),
            ("tfaas.jsonl 1", 200),
            ("tfaas.jsonl 4", 200),
            ("C++ client", 200),
        ):
            exchange = calls[case].exchanges[0]
            answer = running.wire.ask(exchange, below + exchange.path)
            assert answer is not None
            assert answer.status == status, (case, answer)
            if status == 200 and exchange.path.endswith("/json"):
                assert answer.body == (exchange.answer or answer).body
