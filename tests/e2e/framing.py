"""One table of requests that are hard to frame, with the right answers from RFC 9112.

A case is what a client sends on one connection, written once for all servers: ``{path}`` is
where the server takes calls, ``{one}`` and ``{two}`` are bodies that it gives back, followed
by ``.len``, ``.hex``, ``.a`` or ``.b`` their length in decimal or hexadecimal, their first and
their second half. The answer is a list: a body's name stands for 200 and that body, a number
for a status. Where the connection stays open, another call is sent behind the case and has to
be answered as well; where it does not, that call must not be made.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["CASES", "PATH", "Case", "rendered"]


class Case(NamedTuple):
    """Bytes, what they are answered with, and whether the connection stays open then.

    ``rule`` is the section that says so. ``half`` cases end with the client's side closed,
    ``head`` cases ask for a head without a body.
    """

    rule: str
    sent: bytes
    answers: tuple[str | int, ...]
    keeps: bool
    half: bool = False
    head: bool = False


PATH = "{path}"
SIZED = "Content-Length: {one.len}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"{one.hex}\r\n{one}\r\n0\r\n\r\n"
TWO = b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {two.len}\r\n\r\n{two}"


def post(
    *lines: str, body: bytes = b"", start: str = "POST {path} HTTP/1.1", host: str | None = "a"
) -> bytes:
    """Return a request."""
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([start, *hosts, *lines, "", ""]).encode("latin-1") + body


def sized(*lines: str, **changes: str | None) -> bytes:
    """Return a good request with a length, and these header lines before it."""
    return post(*lines, SIZED, body=b"{one}", **changes)  # type: ignore[arg-type]


def chunked(body: bytes, *lines: str) -> bytes:
    """Return a request with these chunks."""
    return post(CHUNKED, *lines, body=body)


def good(rule: str, sent: bytes, *answers: str | int) -> Case:
    """Return a case that is understood; the connection stays open."""
    return Case(rule, sent, answers or ("one",), keeps=True)


def last(rule: str, sent: bytes, *answers: str | int) -> Case:
    """Return a case that is understood; the connection ends with it, at the client's wish."""
    return Case(rule, sent, answers or ("one",), keeps=False)


def bad(rule: str, sent: bytes, status: int = 400) -> Case:
    """Return a case that is refused; what follows it is not read as a request."""
    return Case(rule, sent, (status,), keeps=False)


def half(rule: str, sent: bytes, *answers: str | int) -> Case:
    """Return a case behind which the client closes its side."""
    return Case(rule, sent, answers, keeps=False, half=True)


LENGTHS = {
    # RFC 9112, 6.2 and 6.3: a length is decimal digits, and there is one
    "a length": good("9112 6.2", sized()),
    "no length and no body": half("9112 6.3", post(start="GET /missing HTTP/1.1"), 404),
    "a length behind blanks": good(
        "9110 5.5", post("Content-Length: \t {one.len} \t", body=b"{one}")
    ),
    "zeros before a length": good("9110 8.6", post("Content-Length: 000{one.len}", body=b"{one}")),
    "5,000 zeros before a length": good(
        "9110 8.6", post(f"Content-Length: {'0' * 5000}{{one.len}}", body=b"{one}")
    ),
    "5,000 nines": bad("9112 6.3", post(f"Content-Length: {'9' * 5000}", body=b"{one}")),
    "two equal lengths": bad("9112 6.3", sized(SIZED)),
    "two lengths": bad("9112 6.3", post("Content-Length: 0", SIZED, body=b"{one}")),
    "a list of lengths": bad(
        "9112 6.3", post("Content-Length: {one.len}, {one.len}", body=b"{one}")
    ),
    "an empty length": bad("9112 6.3", post("Content-Length:", body=TWO)),
    "a signed length": bad("9112 6.3", post("Content-Length: +{one.len}", body=b"{one}")),
    "a negative length": bad("9112 6.3", post("Content-Length: -1", body=TWO)),
    "a length in hexadecimal": bad("9112 6.3", post("Content-Length: 0x5", body=TWO)),
    "a length with a point": bad("9112 6.3", post("Content-Length: {one.len}.0", body=b"{one}")),
    "a length with an exponent": bad("9112 6.3", post("Content-Length: 1e1", body=TWO)),
    "a length with an underscore": bad("9112 6.3", post("Content-Length: 1_0", body=TWO)),
    "a length with a blank inside": bad("9112 6.3", post("Content-Length: 1 0", body=TWO)),
    "a length behind a vertical tab": bad(
        "9112 6.3", post("Content-Length: \x0b{one.len}", body=TWO)
    ),
    "a length of superscript digits": bad("9112 6.3", post("Content-Length: \xb2", body=TWO)),
    "a length over 64 bits": bad(
        "9112 6.3", post("Content-Length: 18446744073709551617", body=b"x")
    ),
    "a length of 2 to 64 and more": bad("9112 6.3", post("Content-Length: 36893488147419103232")),
    "a length over the limit": bad(
        "9110 15.5.14", post("Content-Length: 9000000000000000000"), 413
    ),
    "a length of nothing": half(
        "9112 6.3", post("Content-Length: 0", start="PUT /missing HTTP/1.1"), 404
    ),
    "a body that ends early": half("9112 8", post(SIZED, body=b"{one.a}"), 400),
    "a head that ends early": half("9112 8", post(SIZED)[:-2], 400),
    "a request line that ends early": half("9112 8", b"POST {path} HT", 400),
    "a name that ends early": half("9112 8", b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Le", 400),
}

CODINGS = {
    # RFC 9112, 6.1 and 6.3: the last coding is chunked, in 1.1, and without a length
    "one chunk": good("9112 7.1", chunked(CHUNKS)),
    "two chunks": good(
        "9112 7.1", chunked(b"{one.a.hex}\r\n{one.a}\r\n{one.b.hex}\r\n{one.b}\r\n0\r\n\r\n")
    ),
    "CHUNKED": good("9112 7", post("Transfer-Encoding: CHUNKED", body=CHUNKS)),
    "length, then chunks": bad("9112 6.1", post("Content-Length: 3", CHUNKED, body=CHUNKS)),
    "chunks, then length": bad("9112 6.1", post(CHUNKED, "Content-Length: 3", body=CHUNKS)),
    "length 0, then chunks": bad("9112 6.1", post("Content-Length: 0", CHUNKED, body=CHUNKS)),
    "chunks and a length with a space": bad(
        "9112 5.1", post(CHUNKED, "Content-Length : 3", body=CHUNKS)
    ),
    "chunks and a length that is none": bad(
        "9112 6.3", post(CHUNKED, "Content-Length: x", body=CHUNKS)
    ),
    "chunked twice": bad("9112 6.1", post(CHUNKED, CHUNKED, body=CHUNKS)),
    "chunked twice in a line": bad(
        "9112 6.1", post("Transfer-Encoding: chunked, chunked", body=CHUNKS)
    ),
    "chunked and identity": bad(
        "9112 6.3", post("Transfer-Encoding: chunked, identity", body=CHUNKS)
    ),
    "identity": bad("9112 6.3", post("Transfer-Encoding: identity", body=TWO)),
    "identity and a length": bad("9112 6.3", sized("Transfer-Encoding: identity")),
    "gzip before chunked": bad(
        "9112 6.1", post("Transfer-Encoding: gzip, chunked", body=CHUNKS), 501
    ),
    "gzip and chunked in two lines": bad(
        "9112 6.1", post("Transfer-Encoding: gzip", CHUNKED, body=CHUNKS), 501
    ),
    "gzip alone": bad("9112 6.3", post("Transfer-Encoding: gzip", body=TWO)),
    "xchunked": bad("9112 6.3", post("Transfer-Encoding: xchunked", body=CHUNKS)),
    "chunkedx": bad("9112 6.3", post("Transfer-Encoding: chunkedx", body=CHUNKS)),
    "chunked behind a vertical tab": bad(
        "9110 5.5", post("Transfer-Encoding: \x0bchunked", body=CHUNKS)
    ),
    "chunked before a form feed": bad(
        "9110 5.5", post("Transfer-Encoding: chunked\x0c", body=CHUNKS)
    ),
    "chunked before a NUL": bad("9110 5.5", post("Transfer-Encoding: chunked\0", body=CHUNKS)),
    "chunked in quotes": bad("9112 6.3", post('Transfer-Encoding: "chunked"', body=CHUNKS)),
    "chunked with a parameter": bad("9112 7", post("Transfer-Encoding: chunked;q=1", body=CHUNKS)),
    "chunked folded": bad("9112 5.2", post("Transfer-Encoding:\r\n chunked", body=CHUNKS)),
    "an empty coding": bad("9112 6.3", post("Transfer-Encoding:", body=TWO)),
    "a coding with a space before the colon": bad(
        "9112 5.1", post("Transfer-Encoding : chunked", body=CHUNKS)
    ),
    "an underscore in Transfer_Encoding is another header": good(
        "9110 5.1", sized("Transfer_Encoding: chunked")
    ),
    "chunks in 1.0": bad("9112 6.1", post(CHUNKED, body=CHUNKS, start="POST {path} HTTP/1.0")),
    "chunks in 1.0 that stays open": bad(
        "9112 6.1",
        post("Connection: keep-alive", CHUNKED, body=CHUNKS, start="POST {path} HTTP/1.0"),
    ),
}

PARTS = {
    # RFC 9112, 7.1: chunk-size [ chunk-ext ] CRLF chunk-data CRLF
    "zeros before a size": good("9112 7.1", chunked(b"000{one.hex}\r\n{one}\r\n000\r\n\r\n")),
    "zeros before a size, more than 8 digits": good(
        "9112 7.1", chunked(b"000000000{one.hex}\r\n{one}\r\n0\r\n\r\n")
    ),
    "an extension": good("9112 7.1.1", chunked(b'{one.hex};a=b;c="d;e"\r\n{one}\r\n0;z\r\n\r\n')),
    "an extension with a line feed": bad(
        "9112 7.1.1", chunked(b"{one.hex};a\nb\r\n{one}\r\n0\r\n\r\n")
    ),
    "an extension with a carriage return": bad(
        "9112 7.1.1", chunked(b"{one.hex};a\rb\r\n{one}\r\n0\r\n\r\n")
    ),
    "an extension with NUL": bad("9112 7.1.1", chunked(b"{one.hex};\0\r\n{one}\r\n0\r\n\r\n")),
    "an extension with a break in quotes": bad(
        "9112 7.1.1", chunked(b'{one.hex};a="\r\n{one}\r\n0\r\n\r\n"\r\n{one}\r\n0\r\n\r\n')
    ),
    "an extension of 300 bytes": bad(
        "9112 7.1.1", chunked(b"{one.hex};" + b"a" * 300 + b"\r\n{one}\r\n0\r\n\r\n")
    ),
    "extensions of 80 kB in all": bad(
        "9112 7.1.1", chunked((b"1;" + b"a" * 200 + b"\r\nb\r\n") * 400 + b"0\r\n\r\n")
    ),
    "a signed size": bad("9112 7.1", chunked(b"+{one.hex}\r\n{one}\r\n0\r\n\r\n")),
    "a negative size": bad("9112 7.1", chunked(b"-1\r\n{one}\r\n0\r\n\r\n")),
    "a size as in C": bad("9112 7.1", chunked(b"0x{one.hex}\r\n{one}\r\n0\r\n\r\n")),
    "a size with an underscore": bad("9112 7.1", chunked(b"0_{one.hex}\r\n{one}\r\n0\r\n\r\n")),
    "a size with a space behind": bad("9112 7.1", chunked(b"{one.hex} \r\n{one}\r\n0\r\n\r\n")),
    "a size with a space before": bad("9112 7.1", chunked(b" {one.hex}\r\n{one}\r\n0\r\n\r\n")),
    "a size with a tab behind": bad("9112 7.1", chunked(b"{one.hex}\t\r\n{one}\r\n0\r\n\r\n")),
    "no size": bad("9112 7.1", chunked(b"\r\n{one}\r\n0\r\n\r\n")),
    "an extension without a size": bad("9112 7.1", chunked(b";a\r\n{one}\r\n0\r\n\r\n")),
    "a size that is no number": bad("9112 7.1", chunked(b"xyz\r\n{one}\r\n0\r\n\r\n")),
    "a size over 64 bits": bad("9112 7.1", chunked(b"1{one.hex16}\r\n{one}\r\n0\r\n\r\n")),
    "a size over the limit": bad("9110 15.5.14", chunked(b"7fffffffffffffff\r\n{one}"), 413),
    "a size line with LF alone": bad("9112 7.1", chunked(b"{one.hex}\n{one}\r\n0\r\n\r\n")),
    "a size line with CR alone": bad("9112 7.1", chunked(b"{one.hex}\r{one}\r\n0\r\n\r\n")),
    "data longer than its size": bad("9112 7.1", chunked(b"{one.hex}\r\n{one}x\r\n0\r\n\r\n")),
    "data shorter than its size": bad(
        "9112 7.1", chunked(b"{one.hex}\r\n{one.a}\r\n0\r\n\r\n" + TWO)
    ),
    "data that ends with LF alone": bad("9112 7.1", chunked(b"{one.hex}\r\n{one}\n0\r\n\r\n")),
    "data that ends with CR alone": bad("9112 7.1", chunked(b"{one.hex}\r\n{one}\r0\r\n\r\n")),
    "data that ends with nothing": bad("9112 7.1", chunked(b"{one.hex}\r\n{one}0\r\n\r\n")),
    "a last line with LF alone": bad("9112 7.1", chunked(b"{one.hex}\r\n{one}\r\n0\r\n\n")),
    "a last chunk with LF alone": bad("9112 7.1", chunked(b"{one.hex}\r\n{one}\r\n0\n\r\n")),
    "chunks that end early": half("9112 8", chunked(b"{one.hex}\r\n{one.a}"), 400),
    "chunks without the last one": half("9112 8", chunked(b"{one.hex}\r\n{one}\r\n"), 400),
    "chunks without the last line": half("9112 8", chunked(b"{one.hex}\r\n{one}\r\n0\r\n"), 400),
    # 7.1.2: trailers are read and dropped; they are never headers
    "a trailer": good("9112 7.1.2", chunked(b"{one.hex}\r\n{one}\r\n0\r\nX-Sum: 1\r\n\r\n")),
    "trailers that name a type and an event": good(
        "9112 7.1.2",
        chunked(
            b"{one.hex}\r\n{one}\r\n0\r\nContent-Type: application/cloudevents+json\r\n"
            b"ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n\r\n"
        ),
    ),
    "trailers that frame": good(
        "9112 7.1.2",
        chunked(b"{one.hex}\r\n{one}\r\n0\r\nX-Length: 9\r\nHost: b\r\nConnection: close\r\n\r\n"),
    ),
    "a length as a trailer": bad(
        "9110 6.5.1", chunked(b"{one.hex}\r\n{one}\r\n0\r\nContent-Length: 9\r\n\r\n")
    ),
    "a coding as a trailer": bad(
        "9110 6.5.1", chunked(b"{one.hex}\r\n{one}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n")
    ),
    "a trailer with a space before the colon": bad(
        "9112 5.1", chunked(b"{one.hex}\r\n{one}\r\n0\r\nX : 1\r\n\r\n")
    ),
    "a trailer without a colon": bad("9112 5", chunked(b"{one.hex}\r\n{one}\r\n0\r\nX\r\n\r\n")),
    "a trailer that is folded": bad(
        "9112 5.2", chunked(b"{one.hex}\r\n{one}\r\n0\r\nX: 1\r\n 2\r\n\r\n")
    ),
    "a trailer with LF alone": bad("9112 2.2", chunked(b"{one.hex}\r\n{one}\r\n0\r\nX: 1\n\r\n")),
    "a trailer with NUL": bad("9110 5.5", chunked(b"{one.hex}\r\n{one}\r\n0\r\nX: \0\r\n\r\n")),
    "a request in place of a trailer": bad(
        "9112 7.1.2", chunked(b"{one.hex}\r\n{one}\r\n0\r\n" + TWO)
    ),
    "trailers over the limit of a head": bad(
        "6585 5", chunked(b"{one.hex}\r\n{one}\r\n0\r\nX: " + b"x" * 70_000), 431
    ),
}

FIELDS = {
    # RFC 9112, 5 and 2.2: field-line CRLF, and nothing else ends a line
    "no blank behind the colon": good("9112 5", sized("X:1")),
    "an empty value": good("9112 5", sized("X:", "Y: \t ")),
    "bytes over 0x80 in a value": good("9110 5.5", sized("X: \x80\xff\xe9")),
    "a tab in a value": good("9110 5.5", sized("X: a\tb")),
    "every sign of a token in a name": good("9110 5.6.2", sized("!#$%&'*+-.^_`|~09azAZ: 1")),
    "a fold by a space": bad("9112 5.2", sized("X: a", " b")),
    "a fold by a tab": bad("9112 5.2", sized("X: a", "\tb")),
    "a fold behind an empty value": bad("9112 5.2", sized("X:", " b")),
    "a fold before the first header": bad(
        "9112 2.2", post(" X: 1", SIZED, body=b"{one}", host=None)
    ),
    "a space before the first header": bad(
        "9112 2.2", b"POST {path} HTTP/1.1\r\n Host: a\r\nContent-Length: {one.len}\r\n\r\n{one}"
    ),
    "a line of one space": bad("9112 5.2", sized("X: a", " ")),
    "a space before a colon": bad("9112 5.1", sized("X : a")),
    "a tab before a colon": bad("9112 5.1", sized("X\t: a")),
    "an empty name": bad("9112 5", sized(": a")),
    "a line without a colon": bad("9112 5", sized("abc")),
    "a name with a blank inside": bad("9110 5.1", sized("X Y: a")),
    "a name over 0x80": bad("9110 5.1", sized("X\xe9: a")),
    "a name with NUL": bad("9110 5.1", sized("X\0: a")),
    "a name in brackets": bad("9110 5.1", sized("(X): a")),
    "NUL in a value": bad("9110 5.5", sized("X: a\0b")),
    "a control character in a value": bad("9110 5.5", sized("X: a\x01b")),
    "DEL in a value": bad("9110 5.5", sized("X: a\x7fb")),
    "an escape in a value": bad("9110 5.5", sized("X: a\x1bb")),
    "LF alone in a value": bad("9112 2.2", sized("X: a\nY: b")),
    "LF alone that hides a length": bad(
        "9112 2.2", post("X: a\nContent-Length: 0", SIZED, body=b"{one}")
    ),
    "CR alone in a value": bad("9112 2.2", sized("X: a\rY: b")),
    "CR alone before CR LF": bad("9112 2.2", sized("X: a\r")),
    "CR alone that hides a coding": bad("9112 2.2", sized("X: a\rTransfer-Encoding: chunked")),
    "LF alone behind the request line": bad(
        "9112 2.2", b"POST {path} HTTP/1.1\nHost: a\r\nContent-Length: {one.len}\r\n\r\n{one}"
    ),
    "LF alone everywhere": bad(
        "9112 2.2", b"POST {path} HTTP/1.1\nHost: a\nContent-Length: {one.len}\n\n{one}"
    ),
    "LF alone at the end of the head": bad(
        "9112 2.2", b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {one.len}\r\n\n{one}"
    ),
    "LF CR at the end of the head": bad(
        "9112 2.2", b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {one.len}\n\r\n{one}"
    ),
    "CR CR LF at the end of the head": bad(
        "9112 2.2", b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {one.len}\r\r\n\r\n{one}"
    ),
    "200 header lines": good("6585 5", sized(*["X: 1"] * 198)),
    "201 header lines": bad("6585 5", sized(*["X: 1"] * 199), 431),
    "a value over the limit": bad("6585 5", sized("X: " + "x" * 70_000), 431),
    "a name over the limit": bad("6585 5", sized("x" * 70_000 + ": 1"), 431),
    "empty lines before a request": good("9112 2.2", b"\r\n\r\n" + sized()),
    "5,000 empty lines before a request": good("9112 2.2", b"\r\n" * 5000 + sized()),
}

ONCE = {
    # RFC 9110, 5.3: what is no list comes once. Nobody can say which of two counts
    **{
        f"two {name} headers": bad("9110 5.3", sized(f"{name}: {value}", f"{name}: {value}"))
        for name, value in {
            "Content-Type": "text/plain",
            "Authorization": "Basic eDp5",
            "Content-Location": "/a",
            "Content-Range": "bytes 0-1/2",
            "Date": "Sun, 06 Nov 1994 08:49:37 GMT",
            "From": "a@example.com",
            "If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT",
            "If-Range": '"a"',
            "If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT",
            "Max-Forwards": "1",
            "Proxy-Authorization": "Basic eDp5",
            "Referer": "http://a/",
            "User-Agent": "a",
            "X-Request-Id": "a",
        }.items()
    },
    "two types, the second in capitals": bad(
        "9110 5.3", sized("Content-Type: text/plain", "CONTENT-TYPE: application/json")
    ),
    "two codings of the content": bad(
        "9110 8.4", sized("Content-Encoding: identity", "Content-Encoding: gzip")
    ),
    "two lists": good("9110 5.3", sized("Accept: text/plain", "Accept: */*")),
    "two unknown headers": good("9110 5.3", sized("X: 1", "X: 2")),
}

HOSTS = {
    # RFC 9112, 3.2: one Host in 1.1, and it is uri-host [ ":" port ] (9110, 7.2)
    "no host": bad("9112 3.2", sized(host=None)),
    "two hosts": bad("9112 3.2", sized("Host: a")),
    "two hosts that differ": bad("9112 3.2", sized("Host: b")),
    "two hosts, the second in capitals": bad("9112 3.2", sized("HOST: b")),
    "no host in 1.0": last("9112 3.2", sized(start="POST {path} HTTP/1.0", host=None)),
    "two hosts in 1.0": bad("9112 3.2", sized("Host: b", start="POST {path} HTTP/1.0")),
    "an empty host": good("9112 3.2", sized(host="")),
    "a host and port": good("9110 7.2", sized(host="a.example:8080")),
    "a host and an empty port": good("9110 7.2", sized(host="a:")),
    "an address of IPv4": good("9110 7.2", sized(host="127.0.0.1:1")),
    "an address of IPv6": good("9110 7.2", sized(host="[::1]:8080")),
    "an address of IPv6 without brackets": bad("9110 7.2", sized(host="::1")),
    "an address of IPv6 that is not closed": bad("9110 7.2", sized(host="[::1")),
    "a port that is no number": bad("9110 7.2", sized(host="a:b")),
    "two ports": bad("9110 7.2", sized(host="a:80:80")),
    "a host with a user": bad("9110 7.2", sized(host="user@a")),
    "a host with a path": bad("9110 7.2", sized(host="a/b")),
    "a host with a query": bad("9110 7.2", sized(host="a?b")),
    "a host with a blank": bad("9110 7.2", sized(host="a b")),
    "a host with a tab": bad("9110 7.2", sized(host="a\tb")),
    "two hosts in a line": bad("9110 7.2", sized(host="a, b")),
    "a host with half of an escape": bad("9110 7.2", sized(host="a%2")),
    "a host with an escape that is none": bad("9110 7.2", sized(host="a%zz")),
    "an address that is none": bad("9110 7.2", sized(host="[:::::]")),
    "an address with a zone": bad("9110 7.2", sized(host="[fe80::1%25eth0]")),
    "an address": good("9110 7.2", sized(host="[::1]:80")),
    "a host with a backslash": bad("9110 7.2", sized(host="a\\b")),
    "a host over 0x80": bad("9110 7.2", sized(host="\xe9")),
    "a host that is a URL": bad("9110 7.2", sized(host="http://a")),
    "a folded host": bad("9112 5.2", sized(host="\r\n a")),
    "a host with a space before the colon": bad("9112 5.1", sized("Host : a", host=None)),
}

TARGETS = {
    # RFC 9112, 3: method SP request-target SP HTTP-version, and 3.2: four forms of targets
    "absolute-form": good("9112 3.2.2", sized(start="POST http://a{path} HTTP/1.1")),
    "absolute-form with another host": good(
        "9112 3.2.2", sized(start="POST http://b:80{path} HTTP/1.1")
    ),
    "absolute-form, https": good("9112 3.2.2", sized(start="POST https://a{path} HTTP/1.1")),
    "absolute-form in capitals": good("9112 3.2.2", sized(start="POST HTTP://A{path} HTTP/1.1")),
    "absolute-form without a Host": bad(
        "9112 3.2", sized(start="POST http://a{path} HTTP/1.1", host=None)
    ),
    "absolute-form without an authority": bad(
        "9110 4.2.1", sized(start="POST http://{path} HTTP/1.1")
    ),
    "absolute-form with a user": bad("9110 4.2.4", sized(start="POST http://u:p@a{path} HTTP/1.1")),
    "absolute-form of another scheme": bad(
        "9112 3.2.2", sized(start="POST ftp://a{path} HTTP/1.1")
    ),
    "absolute-form with a fragment": bad(
        "9112 3.2.2", sized(start="POST http://a{path}#x HTTP/1.1")
    ),
    "authority-form": bad("9112 3.2.3", sized(start="POST a:80 HTTP/1.1")),
    "CONNECT": bad("9110 9.3.6", post(start="CONNECT a:80 HTTP/1.1", body=TWO), 501),
    "asterisk-form": half("9112 3.2.4", post(start="OPTIONS * HTTP/1.1"), 404),
    "asterisk-form and a second request": good(
        "9112 3.2.4", post(start="OPTIONS * HTTP/1.1") + TWO, 404, "two"
    ),
    "an asterisk by another method": bad("9112 3.2.4", sized(start="POST * HTTP/1.1")),
    "a fragment": bad("9112 3.2.1", sized(start="POST {path}#x HTTP/1.1")),
    "a line feed in the target": bad("9112 3", sized(start="POST {path}\nX:b HTTP/1.1")),
    "a header instead of a target": bad("9112 3", sized(start="POST {path}\nHost: b HTTP/1.1")),
    "a space in the target": bad("9112 3.2", sized(start="POST {path} x HTTP/1.1")),
    "a request line in the target": bad(
        "9112 3.2", sized(start="POST {path} HTTP/1.1 POST {path} HTTP/1.1")
    ),
    "two spaces before the target": bad("9112 3", sized(start="POST  {path} HTTP/1.1")),
    "two spaces behind the target": bad("9112 3", sized(start="POST {path}  HTTP/1.1")),
    "a tab before the target": bad("9112 3", sized(start="POST\t{path} HTTP/1.1"), 501),
    "a tab behind the target": bad("9112 3", sized(start="POST {path}\tHTTP/1.1")),
    "a space before the method": bad("9112 3", sized(start=" POST {path} HTTP/1.1"), 501),
    "a space behind the version": bad("9112 3", sized(start="POST {path} HTTP/1.1 ")),
    "no target": bad("9112 3", sized(start="POST HTTP/1.1")),
    "an empty target": bad("9112 3", sized(start="POST  HTTP/1.1")),
    "a path without a slash": bad("9112 3.2.1", sized(start="POST call HTTP/1.1")),
    "a query alone": bad("9112 3.2.1", sized(start="POST ?a HTTP/1.1")),
    "a control character in the target": bad("9112 3.2", sized(start="POST {path}\x01 HTTP/1.1")),
    "DEL in the target": bad("9112 3.2", sized(start="POST {path}\x7f HTTP/1.1")),
    "NUL in the target": bad("9112 3.2", sized(start="POST {path}\0 HTTP/1.1")),
    "a byte over 0x80 in the target": bad("9112 3.2", sized(start="POST {path}\xe9 HTTP/1.1")),
    "a CR in the target": bad("9112 3.2", sized(start="POST {path}\rx HTTP/1.1")),
    "a target over the limit": bad(
        "9110 15.5.15", sized(start=f"POST /{'x' * 70_000} HTTP/1.1"), 431
    ),
    "a method in small letters": bad("9110 9.1", sized(start="post {path} HTTP/1.1"), 501),
    "a method that nobody knows": bad("9110 9.1", sized(start="SPAM {path} HTTP/1.1"), 501),
    "a method of 5,000 letters": bad("9110 9.1", sized(start=f"{'A' * 5000} {PATH} HTTP/1.1"), 501),
    "a method that begins well": bad("9110 9.1", sized(start="POSTT {path} HTTP/1.1"), 501),
    "no method": bad("9112 3", sized(start="{path} HTTP/1.1"), 501),
    "HEAD": Case(
        "9110 9.3.2",
        post("Fn-Intent: httprequest", start="HEAD /missing HTTP/1.1"),
        (404,),
        keeps=False,
        half=True,
        head=True,
    ),
}

VERSIONS = {
    # RFC 9112, 2.3: HTTP-version is case-sensitive, two digits
    "1.0": last("9112 9.3", sized(start="POST {path} HTTP/1.0")),
    "1.0 that stays open": good(
        "9112 9.3", sized("Connection: keep-alive", start="POST {path} HTTP/1.0")
    ),
    "1.0 with a request behind": last("9112 9.3", sized(start="POST {path} HTTP/1.0") + TWO),
    "1.2": bad("9110 15.6.6", sized(start="POST {path} HTTP/1.2"), 505),
    "1.9": bad("9110 15.6.6", sized(start="POST {path} HTTP/1.9"), 505),
    "0.9 by name": bad("9110 15.6.6", sized(start="POST {path} HTTP/0.9"), 505),
    "0.9": bad("9112 2.3", b"GET {path}\r\n\r\n", 505),
    "0.9 with headers": bad("9112 2.3", b"GET {path}\r\nHost: a\r\n\r\n", 505),
    "2.0": bad("9110 15.6.6", sized(start="POST {path} HTTP/2.0"), 505),
    "HTTP/2 by prior knowledge": bad(
        "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9, 505
    ),
    "http in small letters": bad("9112 2.3", sized(start="POST {path} http/1.1")),
    "two digits": bad("9112 2.3", sized(start="POST {path} HTTP/1.10")),
    "a zero before the version": bad("9112 2.3", sized(start="POST {path} HTTP/01.1")),
    "no point": bad("9112 2.3", sized(start="POST {path} HTTP/11")),
    "a signed version": bad("9112 2.3", sized(start="POST {path} HTTP/+1.1")),
    "another protocol": bad("9112 2.3", sized(start="POST {path} HTTPS/1.1")),
    "RTSP": bad("9110 15.6.6", sized(start="POST {path} RTSP/1.0"), 505),
    "TLS": bad("9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 99, 501),
    "a proxy's line": bad("9112 3", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + sized(), 501),
    "noise": bad("9112 3", bytes(range(255, 128, -1)), 501),
}

OFFERS = {
    # RFC 9110, 7.8: a server may ignore an offer, and the body is still the request's
    "an upgrade": good("9110 7.8", sized("Connection: Upgrade", "Upgrade: h2c")),
    "an upgrade with chunks": good(
        "9110 7.8", chunked(CHUNKS, "Connection: Upgrade", "Upgrade: h2c")
    ),
    "an upgrade with settings": good(
        "9110 7.8",
        sized("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    ),
    "an upgrade with settings and chunks": good(
        "9110 7.8",
        chunked(
            CHUNKS,
            "Connection: upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABk",
        ),
    ),
    "an upgrade, and a request behind": good(
        "9110 7.8", sized("Connection: Upgrade", "Upgrade: h2c") + TWO, "one", "two"
    ),
    "an upgrade with chunks, and a request behind": good(
        "9110 7.8", chunked(CHUNKS, "Connection: Upgrade", "Upgrade: h2c") + TWO, "one", "two"
    ),
    "an upgrade with two chunks, and a request behind": good(
        "9110 7.8",
        chunked(
            b"{one.a.hex};x\r\n{one.a}\r\n{one.b.hex}\r\n{one.b}\r\n0\r\nT: 1\r\n\r\n",
            "Connection: Upgrade",
            "Upgrade: websocket",
        )
        + TWO,
        "one",
        "two",
    ),
    "an upgrade with broken chunks": bad(
        "9112 7.1", chunked(b"+1\r\n{one}", "Connection: Upgrade", "Upgrade: h2c")
    ),
    "an upgrade with a length and chunks": bad(
        "9112 6.1", post("Connection: Upgrade", "Upgrade: h2c", SIZED, CHUNKED, body=CHUNKS)
    ),
    "an upgrade of a GET, and a request behind": good(
        "9110 7.8",
        post("Connection: Upgrade", "Upgrade: websocket", start="GET /missing HTTP/1.1") + TWO,
        404,
        "two",
    ),
    "an upgrade without Connection": good("9110 7.8", sized("Upgrade: h2c")),
    # 9110, 10.1.1
    "100-continue": good("9110 10.1.1", sized("Expect: 100-continue")),
    "100-CONTINUE": good("9110 10.1.1", sized("Expect: 100-CONTINUE")),
    "100-continue with chunks": good("9110 10.1.1", chunked(CHUNKS, "Expect: 100-continue")),
    "100-continue in 1.0": last(
        "9110 10.1.1", sized("Expect: 100-continue", start="POST {path} HTTP/1.0")
    ),
    "100-continue without a body": half(
        "9110 10.1.1", post("Expect: 100-continue", start="GET /missing HTTP/1.1"), 404
    ),
    "another expectation": bad("9110 10.1.1", sized("Expect: a miracle"), 417),
    "100-continue over the limit": bad(
        "9110 10.1.1", post("Expect: 100-continue", "Content-Length: 9000000000000000000"), 413
    ),
}

MANY = {
    # RFC 9112, 9.3: answers in the order of the requests, and none behind the last
    "two requests": good("9112 9.3.2", sized() + TWO, "one", "two"),
    "chunks, then a length": good("9112 9.3.2", chunked(CHUNKS) + TWO, "one", "two"),
    "a length, then chunks": good("9112 9.3.2", TWO + chunked(CHUNKS), "two", "one"),
    "chunks with trailers, then a length": good(
        "9112 9.3.2", chunked(b"{one.hex}\r\n{one}\r\n0\r\nT: 1\r\n\r\n") + TWO, "one", "two"
    ),
    "six requests": good("9112 9.3.2", (sized() + TWO) * 3, *("one", "two") * 3),
    "two requests with empty lines between": good(
        "9112 2.2", sized() + b"\r\n\r\n" + TWO, "one", "two"
    ),
    "a second request with a line feed before": good(
        "9112 2.2", sized() + b"\n" + TWO, "one", "two"
    ),
    "a second request that is broken": last("9112 9.3.2", sized() + sized("X : 1"), "one", 400),
    "a second request that ends early": half("9112 9.3.2", sized() + TWO[:-3], "one", 400),
    "a body longer than its length": last("9112 9.3.2", sized() + b"{one}", "one", 501),
    "close": last("9112 9.6", sized("Connection: close")),
    "close, and a request behind": last("9112 9.6", sized("Connection: close") + TWO),
    "close in a list": last("9112 9.6", sized("Connection: x, Close ,y") + TWO),
    "close and keep-alive": last("9112 9.3", sized("Connection: keep-alive, close") + TWO),
    "close in a second line": last(
        "9112 9.6", sized("Connection: keep-alive", "Connection: close") + TWO
    ),
    "close that is a part of a word": good("9112 9.6", sized("Connection: closed, xclose")),
    "headers of the connection": good("9110 7.6.1", sized("Connection: content-type, host")),
    "one request, and the client's end": half("9112 9.6", sized(), "one"),
    "chunks, and the client's end": half("9112 9.6", chunked(CHUNKS), "one"),
    "two requests, and the client's end": half("9112 9.6", sized() + TWO, "one", "two"),
    "nothing": half("9112 9.6", b""),
    "empty lines alone": half("9112 2.2", b"\r\n\r\n"),
    "a request in a body": good(
        "9112 11.2", post("Content-Length: {wrapped.len}", body=b"{wrapped}"), "wrapped"
    ),
    "a request in a body and a broken one behind": last(
        "9112 11.2",
        post("Content-Length: {wrapped.len}", body=b"{wrapped}") + sized("X : 1"),
        "wrapped",
        400,
    ),
    "a request behind a refused length": bad("9112 11.2", post("Content-Length: 1_0", body=TWO)),
    "a request behind a refused chunk": bad("9112 11.2", chunked(b"0x0\r\n\r\n" + TWO)),
    "a request behind a refused head": bad("9112 11.2", post(host=None) + TWO),
    "a request behind a body over the limit": bad(
        "9112 11.2", post("Content-Length: 9000000000000000000", body=TWO), 413
    ),
}

CASES: Mapping[str, Case] = {
    f"{group}: {name}": case
    for group, cases in {
        "lengths": LENGTHS,
        "codings": CODINGS,
        "chunks": PARTS,
        "fields": FIELDS,
        "once": ONCE,
        "hosts": HOSTS,
        "targets": TARGETS,
        "versions": VERSIONS,
        "offers": OFFERS,
        "many": MANY,
    }.items()
    for name, case in cases.items()
}

_MARK = re.compile(rb"\{(path|(\w+?)((?:\.(?:a|b|len|hex16|hex))*))\}")


def rendered(sent: bytes, path: str, body: Callable[[str], bytes]) -> bytes:
    """Return a case's bytes for a server, whose bodies are what ``body`` makes of a name."""

    def fill(found: re.Match[bytes]) -> bytes:
        if found[1] == b"path":
            return path.encode()
        value = body(found[2].decode())
        for step in found[3].decode().split(".")[1:]:
            value = _STEPS[step](value)
        return value

    return _MARK.sub(fill, sent)


_STEPS: Mapping[str, Callable[[bytes], bytes]] = {
    "a": lambda value: value[: len(value) // 2],
    "b": lambda value: value[len(value) // 2 :],
    "len": lambda value: b"%d" % len(value),
    "hex": lambda value: b"%x" % len(value),
    "hex16": lambda value: b"%016x" % len(value),
}
