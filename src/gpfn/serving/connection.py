"""One client of the model server: receive, answer, keep alive, time out."""

import socket
import time

from gpfn.call.contract import Reply
from gpfn.deadline import Deadline
from gpfn.errors import GpfnError, InvalidRequest
from gpfn.http.head import Request
from gpfn.http.reader import RequestReader
from gpfn.http.writer import response_head, send
from gpfn.log import trace_id
from gpfn.message import Message
from gpfn.serving.service import Response, ServerSettings, Service, failure, request_id

__all__ = ["ServedConnection"]

_PIECE = 256 << 10
_LINGER_SECONDS = 2.0


class ServedConnection:
    """Serves one socket in the calling thread until one side closes it or a time-out passes."""

    def __init__(self, sock: socket.socket, service: Service, settings: ServerSettings) -> None:
        self._sock = sock
        self._service = service
        self._settings = settings
        self._reader = RequestReader(settings.limits)
        self.draining = False
        self.idle = True

    def serve(self) -> None:
        """Answer requests until the connection ends; never raises for a client's fault."""
        with self._sock:
            try:
                while self._serve_one():
                    pass
            except OSError as error:
                if self._settings.verbose:
                    self._service.log.info(f"connection lost: {error}")

    def drain(self) -> None:
        """Finish the running request, if any, and take no further one."""
        self.draining = True
        if self.idle:
            self._end_input()

    def _end_input(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RD)
        except OSError:
            return  # it is closed already

    def _serve_one(self) -> bool:
        try:
            request = self._receive()
        except GpfnError as error:
            self._refuse(error)
            return False
        if request is None:
            return False
        started = time.monotonic()
        response = self._service.respond(request, Deadline.after(self._settings.request_seconds))
        keep = request.keep_alive and not self.draining
        self._send(response, close=not keep, head_only=request.method == "HEAD")
        if self._settings.verbose:
            self._log_request(request, response, time.monotonic() - started)
        return keep

    def _log_request(self, request: Request, response: Response, seconds: float) -> None:
        sent = sum(memoryview(part).nbytes for part in response.buffers)
        self._service.log.call(
            request_id(request),
            Reply(Message(b""), response.status),
            seconds,
            len(request.body),
            sent,
            trace=trace_id(request.headers),
        )

    def _receive(self) -> Request | None:
        """Return the next request, or None when the client has left or stays silent.

        The whole request has to come within ``request_seconds`` of its first byte, so
        that a client that sends slowly cannot hold a thread.
        """
        request = self._reader.next_request()
        deadline = Deadline.after(self._settings.request_seconds)
        self.idle = request is None and not self._reader.in_request
        if self.idle and self.draining:  # drain() came between the last reply and this line
            return None
        continued = False
        while request is None:
            if not self._receive_some(deadline):
                if self.idle:
                    return None
                raise InvalidRequest("the connection ended inside a request")
            if self.idle:
                self.idle = False
                deadline = Deadline.after(self._settings.request_seconds)
            request = self._reader.next_request()
            if request is None and self._reader.expects_continue and not continued:
                continued = True
                self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return request

    def _receive_some(self, deadline: Deadline) -> int:
        self._sock.settimeout(
            self._settings.idle_seconds if self.idle else max(deadline.remaining(), 0.001)
        )
        try:
            space = self._reader.body_space()
            if space is not None:
                count = self._sock.recv_into(space)
                self._reader.body_received(count)
                return count
            data = self._sock.recv(_PIECE)
        except TimeoutError:
            if self.idle:
                return 0
            seconds = self._settings.request_seconds
            raise InvalidRequest(
                f"the request took over {seconds:g} s to come", status=408
            ) from None
        self._reader.feed(data)
        return len(data)

    def _send(self, response: Response, *, close: bool, head_only: bool = False) -> None:
        headers = (("content-type", response.content_type), *response.headers)
        length = sum(memoryview(part).nbytes for part in response.buffers)
        head = response_head(response.status, headers, length, close=close)
        self._sock.settimeout(self._settings.request_seconds)
        send(self._sock, [head] if head_only else [head, *response.buffers])

    def _refuse(self, error: GpfnError) -> None:
        """Answer a broken request, then read on a little.

        Closing with unread bytes would reset the connection, and the client would lose
        the reply that says what is wrong.
        """
        self._send(failure(error, None), close=True)
        self._sock.shutdown(socket.SHUT_WR)
        end = Deadline.after(_LINGER_SECONDS)
        while not end.expired():
            self._sock.settimeout(max(end.remaining(), 0.001))
            if not self._sock.recv(_PIECE):
                return
