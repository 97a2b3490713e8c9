"""A process in the place of ``gpfn``, which answers what no server should.

It takes the words of ``gpfn run fn FILE HANDLER`` and of ``gpfn run openwhisk … --port N``; the
file names what it answers, byte by byte, to every connection.
"""

import os
import socket
import sys
import time


def listen() -> socket.socket:
    """Listen where the platform wants it."""
    if "openwhisk" in sys.argv:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", int(sys.argv[-1])))
        listening.listen()
        return listening
    path = os.environ["FN_LISTENER"].removeprefix("unix:")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path + "x")
    listening.listen()
    target = path + "x" if kind == "link" else os.path.basename(path + "x")
    if kind == "file":
        open(path, "w").close()
    else:
        os.symlink(target, path)
    return listening


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MEGABYTE = bytes(1 << 20)
CHUNK = b"100000\r\n" + MEGABYTE + b"\r\n"
ENDLESS = 1 << 30

# what is sent first, what is sent again and again and how often, what is sent last
ANSWERS = {
    "garbage": (b"", b"\0\1\2 no HTTP at all ", 1000, b""),
    "half head": (OK + b"Content-Len", b"", 0, b""),
    "silent head": (OK + b"Content-Len", b"", 0, b""),
    "half body": (OK + b"Content-Length: 10\r\n\r\nabc", b"", 0, b""),
    "endless head": (OK, b"X-Y: z\r\n" * 100, 3000, b""),
    "two lengths": (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nabc", b"", 0, b""),
    "chunked": (CHUNKED, b"1\r\na\r\n", 3, b"2\r\nde\r\n0\r\n\r\n"),
    "closing": (
        b"HTTP/1.0 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n",
        b"until ",
        1,
        b"the end",
    ),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n", b"", 0, OK + b"Content-Length: 2\r\n\r\nok"),
    "large": (OK + b"Content-Length: 104857600\r\n\r\n", MEGABYTE, 100, b""),
    "large chunked": (CHUNKED, CHUNK, 100, b"0\r\n\r\n"),
    "endless chunks": (CHUNKED, CHUNK, ENDLESS, b""),
    "endless": (OK + b"\r\n", MEGABYTE, ENDLESS, b""),
    "status 500": (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\noh", b"", 0, b""),
    "unasked": (OK + b"Content-Length: 2\r\n\r\nok" + OK + b"\r\n", b"", 0, b""),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", 0, b""),
    "gzip": (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nzz", b"", 0, b""),
    "nothing": (b"", b"", 0, b""),
}
LINGERS = {"silent head": 60.0, "unasked": 0.2}


def answer(connection: socket.socket) -> None:
    """Send what the kind says."""
    if not connection.recv(1 << 20):
        return
    first, again, times, last = ANSWERS[kind]
    connection.sendall(first)
    for _ in range(times):
        connection.sendall(again)
    connection.sendall(last)
    time.sleep(LINGERS.get(kind, 0.0))


with open(next(word for word in sys.argv if word.endswith(".py") and word != sys.argv[0])) as told:
    kind = told.read().strip()
server = listen()
while True:
    accepted, _ = server.accept()
    with accepted:
        try:
            answer(accepted)
        except OSError:
            continue  # it was closed from the other end
