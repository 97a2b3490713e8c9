"""The HEALTHCHECK of an image: ``python -m gpfn.build.health URL``; exit 0 when it is well.

Apart from everything else here because an image starts it by its name, every ten seconds:
it imports nothing that it does not need.
"""

import os
import socket
import sys

from gpfn.errors import SetupError
from gpfn.settings import parse_whole

__all__ = ["main", "status_of"]

_SECONDS = 2.5


def status_of(url: str) -> int:
    """Return the status that a GET of an ``http://HOST:PORT/PATH`` is answered with; 0 for none.

    Raises SetupError when the URL has no port.
    """
    place, _, path = url.removeprefix("http://").partition("/")
    host, _, port = place.rpartition(":")
    number = parse_whole(port, field=url, least=1, most=65535)
    request = f"GET /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, number), _SECONDS) as connection:
            connection.sendall(request.encode("latin-1"))
            words = connection.recv(64).split()
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 0
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def main() -> int:
    """Check the URL of the command line, or GPFN_HEALTH_URL when that is set."""
    url = os.environ.get("GPFN_HEALTH_URL") or sys.argv[1]
    try:
        return 0 if status_of(url) == 200 else 1
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
