"""A repository that changes while it is asked: every answer is a right one, or says why not."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.alone import resident
from tests.e2e.repository_served import FORM, RepositoryServer, form, repository_served
from tests.serving.repository.onnx_files import scaled

ASKERS = 4


@contextmanager
def asked(
    server: RepositoryServer, order: Callable[[int], str], right: Callable[[str, int, float], bool]
) -> Iterator[Counter[int]]:
    """Ask models all the time, and count the statuses; what is answered has to be right."""
    stop = threading.Event()
    statuses: Counter[int] = Counter()
    wrong: list[object] = []

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=60)
        while not stop.is_set() and not wrong:
            name = order(number)
            body = json.dumps({"values": [number, -number, 0], "model": name})
            try:
                connection.request("POST", "/json", body)
                reply = connection.getresponse()
                found = json.loads(reply.read())
            except Exception as error:
                wrong.append(error)
                return
            statuses[reply.status] += 1
            factor = found[0] / number if reply.status == 200 else 0
            if not right(name, reply.status, factor):
                wrong.append((name, reply.status, found))
            number += ASKERS

    threads = [threading.Thread(target=ask, args=(number + 1,)) for number in range(ASKERS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_versions_come_and_go_while_they_are_asked(tmp_path: Path) -> None:
    with repository_served(tmp_path) as server:
        server.upload("m", scaled(2))
        seen = {2.0}

        def right(name: str, status: int, factor: float) -> bool:
            return factor in seen if status == 200 else status in (404, 503)

        with asked(server, lambda number: "m", right) as statuses:
            for factor in range(3, 9):
                seen.add(float(factor))
                assert server.upload("m", scaled(factor)).status == 200
                assert server.factor("m") == factor, "from then on it answers"
            for factor in range(7, 2, -1):
                server.ask("/repository/models/m/versions/latest", method="DELETE")
                assert server.factor("m") == factor
            server.ask("/repository/models/m", method="DELETE")
            assert server.server.ask("/json", {"values": [1, 2, 3], "model": "m"}).status == 404
            server.ask("/repository/models/m/versions/3/restore", b"", "POST")
            assert server.factor("m") == 4
        assert statuses[200] > ASKERS
        assert statuses.keys() <= {200, 404, 503}


@pytest.mark.parametrize("same", [True, False])
def test_uploads_of_one_name_at_once(tmp_path: Path, same: bool) -> None:
    with repository_served(tmp_path) as server:
        with ThreadPoolExecutor(8) as pool:
            models = [scaled(2 if same else number + 2) for number in range(8)]
            replies = [*pool.map(lambda model: server.upload("m", model), models)]
        assert [reply.status for reply in replies] == [200] * 8
        made = sorted(json.loads(reply.body)["version"] for reply in replies)
        assert made == ([1] * 8 if same else [*range(1, 9)])
        told = {
            json.loads(reply.body)["version"]: model
            for reply, model in zip(replies, models, strict=True)
        }
        assert server.versions()["m"] == sorted(told)
        for version, model in told.items():
            path = f"/repository/models/m/versions/{version}/files/m.onnx"
            assert server.server.ask(path).body == model, "whoever was told of a version sent it"
        latest = told[max(told)]
        factor = next(number for number in range(2, 10) if scaled(number) == latest)
        assert server.factor("m") == factor
        server.is_well()


def test_more_models_than_may_be_open_are_all_answered_rightly(tmp_path: Path) -> None:
    with repository_served(tmp_path, "--max-open", "3") as server:
        for factor in range(2, 8):
            assert server.upload(f"m{factor}", scaled(factor)).status == 200
        most = 0

        def right(name: str, status: int, factor: float) -> bool:
            return status == 503 or (status == 200 and name == f"m{factor:g}")

        with asked(server, lambda number: f"m{number % 6 + 2}", right) as statuses:
            for _ in range(40):
                most = max(most, server.ask("/status")["open"])
                if statuses[200] > 60:
                    break
        assert statuses[200] > statuses[503], statuses
        assert 0 < most <= 4, "and one that is being swapped"
        for factor in range(2, 8):
            assert server.factor(f"m{factor}") == factor


def test_a_model_that_is_opened_for_the_first_time_holds_up_no_other(tmp_path: Path) -> None:
    with repository_served(tmp_path, "--max-open", "3") as server:
        for factor in range(2, 8):
            server.upload(f"m{factor}", scaled(factor))
        server.upload("open", scaled(9))

        def right(name: str, status: int, factor: float) -> bool:
            return status == 200 and factor == 9

        with asked(server, lambda number: "open", right) as statuses:
            for factor in range(2, 8):
                assert server.factor(f"m{factor}") == factor
        assert statuses[200] > 6


def test_an_upload_of_two_hundred_megabytes_takes_little_memory(tmp_path: Path) -> None:
    with repository_served(tmp_path) as server:
        server.is_well()
        process = server.server.process.pid
        before = resident(process)
        most = [before]
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                most.append(resident(process))
                stop.wait(0.02)

        looker = threading.Thread(target=look)
        looker.start()
        piece = bytes(1 << 20)
        start, end = form(("name", None, b"m"), ("model", "m.onnx", b"|")).split(b"|")
        with server.server.connect() as connection:
            length = len(start) + 200 * len(piece) + len(end)
            head = f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + start)
            for _ in range(200):
                connection.sendall(piece)
            connection.sendall(end)
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            assert reply.status in (415, 422), reply.read()
        stop.set()
        looker.join()
        assert max(most) - before < 64 << 20
        server.is_well()
