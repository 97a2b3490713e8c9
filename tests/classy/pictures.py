"""A real server of pictures on loopback that can be slow, too large, wrong or a liar."""

import contextlib
import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from gpfn.call.contract import Call
from gpfn.classy.crew import Crew
from gpfn.classy.download import Downloader
from gpfn.classy.source import DownloadSettings
from gpfn.limits import Limits

__all__ = ["Pictures", "ask", "downloader", "picture", "pictures"]

MOST = 64 << 20


def picture(kind: str = "JPEG", shade: int = 7, size: tuple[int, int] = (32, 24)) -> bytes:
    """Return an image file of one grey."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, kind)
    return buffer.getvalue()


class Pictures(ThreadingHTTPServer):
    """Answers paths as told, and counts how many of put() wait at once, by their Host."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: Counter[str] = Counter()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.lock = threading.Lock()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def put(
        self,
        path: str,
        content: bytes,
        kind: str | None = "image/jpeg",
        wait: float = 0,
        **more: str,
    ) -> str:
        """Answer a path with content of a type, after a while, with more headers."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            hosts = ("all", handler.headers["Host"].partition(":")[0])
            self.count(hosts, 1)
            time.sleep(wait)
            self.count(hosts, -1)  # before the answer, which may be followed by a request at once
            handler.send_response(200)
            headers = {"Content-Type": kind, "Content-Length": str(len(content)), **more}
            for name, value in headers.items():
                if value is not None:
                    handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(content)

        self.answers[path] = answer
        return self.url(path)

    def redirect(self, path: str, to: str) -> str:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", to)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.answers[path] = answer
        return self.url(path)

    def drip(self, path: str, pause: float) -> str:
        """Answer with a byte now and then, for ever."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", "image/jpeg")
            handler.end_headers()
            for byte in picture() * 100:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(pause)

        self.answers[path] = answer
        return self.url(path)

    def count(self, hosts: tuple[str, ...], by: int) -> None:
        with self.lock:
            for host in hosts:
                self.now[host] += by
                self.most[host] = max(self.most[host], self.now[host])


class _Handler(BaseHTTPRequestHandler):
    server: Pictures

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        answer = self.server.answers.get(self.path)
        with contextlib.suppress(OSError):  # the other side has had enough
            if answer is None:
                self.send_error(404)
            else:
                answer(self)


@contextmanager
def pictures() -> Iterator[Pictures]:
    """Serve until the block ends."""
    server = Pictures()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def downloader(
    server: Pictures,
    *,
    parallel: int = 16,
    per_host: int = 6,
    total: int = MOST,
    **settings: object,
) -> Downloader:
    """Return one that may ask this server, by two names."""
    hosts = (f"127.0.0.1:{server.port}", f"localhost:{server.port}")
    return Downloader(
        limits=Limits(body_bytes=total),
        settings=DownloadSettings(**({"hosts": hosts} | settings)),  # type: ignore[arg-type]
        crew=Crew(parallel, per_host),
    )


def ask(
    handler: Downloader,
    *rows: bytes | str,
    call: Call = Call(),  # noqa: B008 - immutable
) -> tuple[list[bytes], list[str]]:
    """Return the pictures and the problems of a call."""
    images = np.empty(len(rows), object)
    images[:] = [row.encode() if isinstance(row, str) else row for row in rows]
    answer = handler.predict(images, call)
    assert {name: array.shape for name, array in answer.items()} == {
        "images": (len(rows),),
        "fetch_problems": (len(rows),),
    }
    return answer["images"].tolist(), [text.decode() for text in answer["fetch_problems"]]
