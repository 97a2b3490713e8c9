"""Say where a server listens as soon as it is ready to answer."""

import time
import urllib.error
import urllib.request
from threading import Thread

__all__ = ["announce"]


def announce(port: int) -> None:
    """Print ``ready URL`` from a thread when OIP's readiness is answered with 200."""
    Thread(target=_wait, args=[f"http://127.0.0.1:{port}"], daemon=True).start()


def _wait(url: str) -> None:
    while True:
        try:
            with urllib.request.urlopen(url + "/v2/health/ready"):
                break
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    print(f"ready {url}", flush=True)
