"""HTTP/1.1 for the blocking servers, without any I/O of its own but :func:`send`.

Bytes go into a :class:`RequestReader` and requests come out; :func:`response_head`
makes the head of a reply. Whoever owns the socket decides about time and threads.
"""

from gpfn.http.head import Request
from gpfn.http.reader import RequestReader
from gpfn.http.writer import response_head, send

__all__ = ["Request", "RequestReader", "response_head", "send"]
