"""Versions that come and go while the server answers."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpfn.errors import GpfnError, SetupError
from gpfn.graphpipe import Client
from gpfn.models.python import PythonModel
from gpfn.serving import Server, ServerSettings

X = np.ones((1, 2), np.float32)


def adding(number: int) -> PythonModel:
    return PythonModel(lambda x: x + number)


class Callers:
    """Threads that ask all the time, and keep every answer and every error."""

    def __init__(self, url: str, count: int) -> None:
        self.answers: list[tuple[float, ...]] = []
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url,)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self, url: str) -> None:
        with Client(url, timeout=20) as client:
            while not self._stop.is_set():
                try:
                    (found,) = client.infer({"x": X})
                    self.answers.append(tuple(found.ravel().tolist()))
                except Exception as error:
                    self.errors.append(error)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_swaps_lose_no_answer_and_mix_none() -> None:
    with Server({"model": adding(0)}, ServerSettings(port=0, threads=2)) as server:
        callers = Callers(server.url, 20)
        library = server.service.library
        try:
            for number in range(1, 51):
                server.put("model", adding(number))
                until(lambda number=number: library.find("model").source.stamp == str(number))
        finally:
            callers.stop()
    assert not callers.errors
    assert {answer[0] for answer in callers.answers} <= {float(n) for n in range(1, 52)}
    assert all(len({*answer}) == 1 for answer in callers.answers), "each from one version"
    assert len({answer[0] for answer in callers.answers}) > 10


def test_what_cannot_be_opened_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    with Server({"model": adding(1)}, ServerSettings(port=0)) as server:
        library = server.service.library
        server.put("model", str(tmp_path / "bad.tflite"))
        until(lambda: library.failure("model") is not None)
        with Client(server.url) as client:
            (found,) = client.infer({"x": X})
        assert found.tolist() == [[2, 2]]
        (entry,) = library.index()
        assert entry.state == "UNAVAILABLE"
        assert "bad.tflite" in entry.reason


def test_an_opening_that_hangs_is_given_up_and_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(3)\ndef apply(x):\n    return x\n")
    settings = ServerSettings(port=0, open_seconds=0.5)
    with Server({"model": adding(1)}, settings) as server:
        library = server.service.library
        server.put("model", f"{tmp_path}/slow.py:apply")
        server.put("other", adding(2))
        until(lambda: "other" in library.open, 2.5)
        assert "not open after 0.5 s" in str(library.failure("model"))
        time.sleep(3)  # it has been opened by now, and replaces nothing
        with Client(server.url) as client:
            (found,) = client.infer({"x": X})
        assert found.tolist() == [[2, 2]]


def test_a_server_starts_with_what_it_can_open_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    with pytest.raises(SetupError), Server({"m": str(tmp_path / "bad.tflite")}):
        pass


def test_unload_first_closes_the_old_one_before_the_new_one_is_opened() -> None:
    order: list[str] = []

    class Noting(PythonModel):
        def __init__(self, name: str) -> None:
            super().__init__(lambda x: x)
            self.called = name

        def __call__(self, inputs: Any, **options: Any) -> Any:
            order.append(self.called)
            return super().__call__(inputs, **options)

    settings = ServerSettings(port=0, unload_first=True)
    with Server({"model": Noting("old")}, settings) as server:
        library = server.service.library
        server.put("model", Noting("new"))
        until(lambda: library.open and library.find("model").source.stamp == "1")
        assert library.changes == 3, "come, gone, come"


def test_versions_that_are_gone_leave_no_threads() -> None:
    before = {*threading.enumerate()}  # other tests may have left some
    settings = ServerSettings(port=0, threads=2)
    with Server({"model": adding(0)}, settings) as server, Client(server.url) as client:
        library = server.service.library
        for number in range(1, 31):
            client.infer({"x": X})  # by a thread of its own
            server.put("model", adding(number))
            until(lambda number=number: library.find("model").source.stamp == str(number))
        until(lambda: len({*threading.enumerate()} - before) < 15)


def test_what_hangs_keeps_nobody_from_being_opened() -> None:
    """With unload-first the old version is waited for, but not for ever."""
    goes_on = threading.Event()

    def hangs(x: np.ndarray) -> np.ndarray:
        goes_on.wait(60) if x.any() else None
        return x

    settings = ServerSettings(port=0, unload_first=True, request_seconds=0.5)
    try:
        with Server({"model": PythonModel(hangs), "other": adding(1)}, settings) as server:
            with Client(server.url, timeout=20) as client, pytest.raises(GpfnError):
                client.infer({"x": X})
            server.put("model", adding(2))
            server.put("other", adding(3))
            library = server.service.library
            for name, stamp in (("model", "1"), ("other", "2")):
                until(lambda n=name, s=stamp: n in library.open and _stamp(library, n) == s)
            with Client(server.url) as client:
                assert client.infer({"x": X})[0].tolist() == [[3, 3]]
            goes_on.set()
    finally:
        goes_on.set()


def _stamp(library: Any, name: str) -> str:
    return str(library.find(name).source.stamp)
