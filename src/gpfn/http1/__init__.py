"""HTTP/1.1 for the blocking servers, without any I/O of its own but :func:`send`.

Bytes go into a :class:`RequestReader` and requests come out; :func:`response_head`
makes the head of a reply. Whoever owns the socket decides about time and threads.
"""

from gpfn.http1.reader import RequestReader
from gpfn.http1.reply import response_head, send
from gpfn.http1.request import Request

__all__ = ["Request", "RequestReader", "response_head", "send"]
