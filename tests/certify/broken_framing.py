"""Wrong on purpose: replies are chunked, without a Content-Length."""

from action_server import ActionServer, Handler


class Chunked(ActionServer):
    """Leaves the length out."""

    def send(self, handler: Handler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


if __name__ == "__main__":
    Chunked.serve()
