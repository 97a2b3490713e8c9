"""Properties: cutting differently changes nothing, and chunks mean what llhttp says."""

from itertools import pairwise

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from gpfn.limits import Limits
from tests.http.feeding import outcome

LIMITS = Limits(body_bytes=60, header_bytes=300, headers=8)

TOKENS = st.sampled_from(
    [
        b"POST /call HTTP/1.1\r\n",
        b"GET /?a=b HTTP/1.0\r\n",
        b"GET /\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 70\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"X-Long: " + b"v" * 150 + b"\r\n",
        b"X:   \t\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"hello",
        b"5\r\nhello\r\n",
        b"a;x=y\r\n0123456789\r\n",
        b"3e\r\n",
        b"0\r\n\r\n",
        b"0\r\nT: 1\r\n\r\n",
        b"\0",
        b":",
        b" ",
    ]
)

GOOD = st.sampled_from(
    [
        b"POST /call HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n",
    ]
)

STREAMS = st.lists(st.one_of(GOOD, TOKENS), min_size=1, max_size=12).map(b"".join)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut ``data`` at ``cuts``."""
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places) if a < b]


@settings(max_examples=1500, deadline=None)
@given(STREAMS, st.lists(st.integers(min_value=0, max_value=2000), max_size=8))
def test_any_split_gives_the_same(data: bytes, cuts: list[int]) -> None:
    whole = outcome([data], LIMITS, large_body=7)
    assert outcome(cut(data, cuts), LIMITS, large_body=7) == whole
    assert outcome([data[i : i + 1] for i in range(len(data))], LIMITS, large_body=3) == whole


class _Body:
    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def on_body(self, data: bytes) -> None:
        self.data += data

    def on_message_complete(self) -> None:
        self.ended = True


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=3), st.data())
def test_chunks_are_what_llhttp_reads(
    parts: list[bytes], noise: bytes, data: st.DataObject
) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    place = data.draw(st.integers(min_value=0, max_value=len(body)))
    body = body[:place] + noise + body[place:]
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer = _Body()
    try:
        httptools.HttpRequestParser(peer).feed_data(head + body)
    except httptools.HttpParserError:
        refused = True
    else:
        refused = False
    found, error, _ = outcome([head + body], Limits())
    if found:
        assert found[0].body == peer.data or peer.data.startswith(bytes(found[0].body))
        assert peer.ended
    else:
        assert (error is not None) == refused
        assert not peer.ended
