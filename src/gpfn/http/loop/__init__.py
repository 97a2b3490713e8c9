"""An HTTP/1.1 server of one event loop, for everything with many connections.

    exchange     one request, and the one answer to it
    connection   one client: requests in, answers out; timing has its time-outs
    large_body   receiving one straight into its own memory
    incoming     one that is not to be in memory, on its way to who receives it
    responses    answers on the wire; streaming has those whose bodies come in pieces
    server       all connections, their bounds, and the end in order
    acceptor     new connections, also when there are no descriptors left
    pool         work that would hold the loop up; team has its threads
    process      where it listens, the event loop, signals, TLS
    client       requests to another server, many at a time; client_connection is one of its own
    workers      processes on one listening socket, and the one that looks after them;
                 pulse tells it whether their loops turn

It reads with the same reader as the serial server (:mod:`gpfn.http.reader`).
"""

from gpfn.http.loop.exchange import Exchange, Response
from gpfn.http.loop.server import LoopServer, LoopSettings

__all__ = ["Exchange", "LoopServer", "LoopSettings", "Response"]
