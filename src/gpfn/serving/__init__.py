"""A GraphPipe model server on the loop server.

A request passes from the bottom of this list to the top:

    service      which question was asked, and the answer to it; knows no sockets
    inference    names and tensors of a request -> the model -> tensors of the reply
    rowcache     rows that were computed before are not computed again; rowstore keeps them
    server       its socket and its event loop; settings has where it listens, and its bounds
    process      all of it as one call, from opening the model to SIGTERM
"""

from gpfn.serving.server import Server
from gpfn.serving.service import Service
from gpfn.serving.settings import ServerSettings

__all__ = ["Server", "ServerSettings", "Service"]
