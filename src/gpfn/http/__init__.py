"""HTTP/1.1 over httptools: reading and writing, a serial server, a client, a guarded fetch.

    head, reader, body   bytes to requests, without sockets
    writer               responses to bytes, and how they are sent
    serial               a server of one thread that answers one request at a time
    client, connection, response, address
                         requests to one server over connections that are kept open
    get                  one GET of a URL that the deployer named
    fetch, public        one GET of a URL that a caller named, and where it may lead

The rules are those of RFC 9110 and 9112, without what they allow for old senders only.
"""

from gpfn.http.head import Request
from gpfn.http.reader import RequestReader
from gpfn.http.writer import response_head, send

__all__ = ["Request", "RequestReader", "response_head", "send"]
