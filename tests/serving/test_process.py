"""`gpfn.serving.process.serve` as a library call: models, functions, and what it raises."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gpfn.errors import ModelUnreadable, SetupError
from gpfn.graphpipe import remote
from gpfn.models import Model, open_model
from gpfn.models.parts import model_digest
from gpfn.serving import ServerSettings
from gpfn.serving.process import CacheSettings, serve

SETTINGS = ServerSettings(port=0, threads=1)
WINDOW = np.linspace(20, 30, 20, dtype=np.float32).reshape(1, 20, 1)


class Visitor:
    """Asks the server once it is ready, from another thread, and then ends it."""

    def __init__(self, question: np.ndarray) -> None:
        self.question = question
        self.answer: np.ndarray | None = None
        self.model: Model | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, model: Model, url: str) -> None:
        self.model = model
        self._thread = threading.Thread(target=self._visit, args=(url,))
        self._thread.start()

    def _visit(self, url: str) -> None:
        try:
            self.answer = remote(url, self.question)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def model(root: Path) -> str:
    return str(root / "models" / "forecast.tflite")


def test_a_model_by_its_uri(model: str) -> None:
    visitor = Visitor(WINDOW)
    serve(model, SETTINGS, threads="auto", on_ready=visitor)
    assert visitor.answer is not None
    assert visitor.answer.shape == (1, 20, 1)


def test_an_open_model_and_its_signal_handlers(model: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    visitor = Visitor(WINDOW)
    opened = open_model(model)
    serve(opened, SETTINGS, on_ready=visitor)
    assert visitor.model is opened
    assert opened({"series": WINDOW})["forecast"].shape == (1, 20, 1), "it stays open"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_plain_function() -> None:
    def apply(x: np.ndarray) -> np.ndarray:
        return x[::-1] + 1

    visitor = Visitor(np.arange(3.0))
    serve(apply, SETTINGS, on_ready=visitor)
    np.testing.assert_array_equal(visitor.answer, [3, 2, 1])


def test_a_connection_that_is_kept_does_not_hold_up_the_end(model: str) -> None:
    """The signal may come between a reply and the wait for the next request."""
    started = time.monotonic()
    opened = open_model(model)
    for _ in range(20):
        visitor = Visitor(WINDOW)
        serve(opened, SETTINGS, on_ready=visitor)
        assert visitor.answer is not None
    assert time.monotonic() - started < SETTINGS.drain_seconds / 2


@pytest.mark.timeout(30)
def test_a_signal_that_another_thread_gets_ends_it_too(model: str) -> None:
    """As does one that comes just before the wait: neither interrupts the main thread."""

    def interrupt() -> None:
        time.sleep(0.2)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    serve(model, SETTINGS, on_ready=lambda *_: threading.Thread(target=interrupt).start())
    assert signal.set_wakeup_fd(-1) == -1, "as it was before"


def test_what_keeps_a_model_from_being_served_is_raised(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    with pytest.raises(ModelUnreadable, match=r"m\.tflite"):
        serve(str(tmp_path / "m.tflite"), SETTINGS)
    (tmp_path / "m.py").write_text("raise RuntimeError('no')\n")
    with pytest.raises(SetupError, match="RuntimeError: no"):
        serve(f"{tmp_path}/m.py:apply", SETTINGS)
    with pytest.raises(SetupError, match="cannot import"):
        serve(f"{tmp_path}/absent.py:apply", SETTINGS)


def test_a_cache_needs_a_file_and_a_folder(model: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="needs a model file"):
        serve("os.path:join", SETTINGS, cache=CacheSettings(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot use"):
        serve(model, SETTINGS, cache=CacheSettings(tmp_path / "file" / "rows"))


def test_rows_are_kept_in_a_file_of_the_model(model: str, tmp_path: Path) -> None:
    cache = CacheSettings(tmp_path, max_bytes=10_000)
    visitors = [Visitor(WINDOW), Visitor(WINDOW)]
    for visitor in visitors:
        serve(model, SETTINGS, cache=cache, on_ready=visitor)
    np.testing.assert_array_equal(visitors[0].answer, visitors[1].answer)
    assert (tmp_path / f"{model_digest(Path(model))}.rows").is_file()


def test_a_digest_covers_names_and_contents_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    digests = [model_digest(tmp_path)]
    (tmp_path / "b").rename(tmp_path / "c")
    digests.append(model_digest(tmp_path))
    (tmp_path / "c").write_text("3")
    digests.append(model_digest(tmp_path))
    assert len(set(digests)) == 3
