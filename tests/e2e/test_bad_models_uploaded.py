"""Models that are uploaded and would harm their server: refused, and nobody else notices."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.models_uploaded import crashing, hanging, hungry
from tests.e2e.repository_served import RepositoryServer, repository_served
from tests.serving.repository.onnx_files import scaled

VET_SECONDS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RepositoryServer]:
    tmp = tmp_path_factory.mktemp("models")
    words = ("--vet-time", str(VET_SECONDS), "--vet-memory", "2GiB")
    with repository_served(tmp, *words) as server:
        server.upload("before", scaled(7))
        yield server
        assert server.factor("before") == 7


@pytest.mark.parametrize(
    ("model", "filename", "reasons"),
    [
        (crashing(), "m.tflite", ("was ended by SIG", "was not done within")),
        (hanging(), "m.onnx", ("was not done within 3 s",)),
        (hungry(), "m.onnx", ("memory", "bytes", "alloc")),
        (scaled(2)[:-20], "m.onnx", ("",)),
        (b"\x08\0\0\0TFL3" + bytes(64), "m.tflite", ("",)),
    ],
    ids=["crashing", "hanging", "hungry", "cut", "zeros"],
)
def test_it_is_refused_and_others_are_answered_meanwhile(
    server: RepositoryServer, model: bytes, filename: str, reasons: tuple[str, ...]
) -> None:
    process = server.server.process
    with asked_all_the_time(server) as asked:
        reply = server.upload("m", model, filename)
    assert reply.status == 422, reply
    told = json.loads(reply.body)["error"]
    assert any(reason in told for reason in reasons), told
    assert str(server.place.parent) not in told, "no path of the server"
    assert asked.wrong == []
    assert asked.count > 0
    assert server.versions().get("m") is None
    assert process.poll() is None
    server.is_well()


def test_many_that_hang_hold_up_no_other_upload_for_ever(server: RepositoryServer) -> None:
    """Each takes its time to be refused; a good one behind them is taken after that."""
    replies: list[int] = []
    threads = [
        threading.Thread(
            target=lambda number=number: replies.append(
                server.upload(f"hang-{number}", hanging()).status
            )
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    assert server.factor("before") == 7
    reply = server.upload("well", scaled(5))
    assert (reply.status, server.factor("well")) == (200, 5)
    for thread in threads:
        thread.join()
    assert replies == [422] * 4


class asked_all_the_time:
    """Asks a model in a thread; every answer has to be the right one."""

    def __init__(self, server: RepositoryServer) -> None:
        self.server = server
        self.wrong: list[object] = []
        self.count = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def __enter__(self) -> "asked_all_the_time":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def ask(self) -> None:
        while not self.stop.is_set() or not self.count:
            try:
                if self.server.factor("before") != 7:
                    raise AssertionError("another model answered")
            except BaseException as error:
                self.wrong.append(error)
                return
            self.count += 1
            time.sleep(0.005)
