"""A server that is none of ours: it listens where a stage is to, and says what a stage says."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Foreign"]

_SECONDS = 10.0


class Foreign:
    """Listens at a port, is ready, and tells of models of these names."""

    def __init__(self, port: int, *names: str) -> None:
        front = json.dumps({"status": "alive", "models": names}).encode()
        answers = {"/": front, "/control/is_ready": b"ok"}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = answers.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = _bound(port, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Let others have the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _bound(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """Take a port as soon as whoever has it has ended."""
    until = time.monotonic() + _SECONDS
    while True:
        try:
            return ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.005)
