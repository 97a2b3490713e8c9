"""Wrong on purpose, for Fn: no mode for others, no chunks, and statuses that Fn does not know."""

import os
import socket
import time

path = os.environ["FN_LISTENER"].removeprefix("unix:")
listening = socket.socket(socket.AF_UNIX)
os.umask(0o177)  # from the first moment on: a chmod would come too late for a quick look
listening.bind(path)
time.sleep(0.3)  # the name is there, and nobody accepts
listening.listen(8)
while True:
    connection, _ = listening.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            break
        head += piece
    status = b"400 Bad Request" if b"hunked" in head else b"200 OK"
    connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
    connection.close()
