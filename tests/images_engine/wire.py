"""What Fn sends down the socket, byte for byte, and OpenWhisk to port 8080."""

import base64
import http.client
import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["FUTURE", "Reply", "post", "recorded", "say", "with_deadline", "with_event"]

FUTURE = "2099-01-01T00:00:00Z"


class Reply(NamedTuple):
    """One HTTP reply."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the parsed body."""
        return json.loads(self.body)


def recorded(shared: Path) -> dict[str, bytes]:
    """Return the requests of a real Fn server by their case."""
    lines = (shared / "reference" / "wire" / "fn-socket.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {
        entry["case"]: base64.b64decode(entry["raw_base64"])
        for entry in found
        if "raw_base64" in entry
    }


def with_deadline(request: bytes, when: str) -> bytes:
    """Return a recorded request with another ``Fn-Deadline``: the recording's is long past."""
    return re.sub(rb"(?i)(fn-deadline: )[^\r]*", rb"\g<1>" + when.encode(), request)


def with_event(request: bytes, event: bytes) -> bytes:
    """Return the head of a recorded request with an event as its one chunk."""
    head = request.partition(b"\r\n\r\n")[0]
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)
    return with_deadline(head, FUTURE) + b"\r\n\r\n" + chunks


def say(folder: Path, request: bytes, *, seconds: float = 20.0) -> Reply:
    """Send bytes down the socket in the folder and read the reply.

    The socket is a link to a name in its own folder, whose path may be too long to connect to.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(os.path.join(folder, "lsnr.sock"))
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        response.close()
        return Reply(response.status, headers, body)


def post(address: str, path: str, value: object, *, seconds: float = 30.0) -> Reply:
    """POST JSON to port 8080 as the invoker does; a refused connection is tried again."""
    end = time.monotonic() + seconds
    body = json.dumps(value).encode()
    while True:
        connection = http.client.HTTPConnection(address, 8080, timeout=seconds)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            data = response.read()
        except (ConnectionError, http.client.RemoteDisconnected):
            if time.monotonic() > end:
                raise
            time.sleep(0.005)
            continue
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, data)
