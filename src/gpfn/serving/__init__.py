"""A GraphPipe model server: blocking, one thread a connection, bounded everywhere.

A request passes from the bottom of this list to the top:

    service      which question was asked, and the answer to it; how many inferences run and
                 wait; knows no sockets
    inference    names and tensors of a request -> the model -> tensors of the reply
    rowcache     rows that were computed before are not computed again; rowstore keeps them
    connection   one client: receive, answer, keep alive, time out
    server       listen, accept, count, drain
    process      all of it as one call, from opening the model to SIGTERM
"""

from gpfn.serving.server import Server
from gpfn.serving.service import ServerSettings, Service

__all__ = ["Server", "ServerSettings", "Service"]
