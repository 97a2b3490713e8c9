"""The target of a request and the host in it: which forms there are, and what is valid.

A proxy in front may read another host out of a strange one than we do, and send a request
where it does not belong. So both are checked by their grammar (RFC 9112, 3.2; RFC 3986, 3.2).
"""

from _socket import AF_INET6, inet_pton  # the socket module costs 3 ms of a cold start

from gpfn.errors import InvalidRequest

__all__ = ["first_words", "is_host", "origin_form"]

_LONGEST_LINE = 1024


def origin_form(target: str, method: str) -> str:
    """Return a target as it is routed: of an absolute one what follows the authority.

    RFC 9112, 3.2: a server has to take all forms, and the authority of an absolute one
    stands above the Host header, which no route here asks for. Raises InvalidRequest.
    """
    if target[:1] == "/" or (target == "*" and method == "OPTIONS"):
        return target
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() not in ("http", "https"):
        raise InvalidRequest("expected a path or an http URL", field="target")
    end = min([at for at in map(rest.find, "/?#") if at >= 0], default=len(rest))
    if not end or not is_host(rest[:end]):
        raise InvalidRequest("the target's host is not valid", field="target")
    path = rest[end:]
    return path if path[:1] == "/" else f"/{path}"


def first_words(head: bytes | bytearray) -> tuple[str, str]:
    """Return the method and target of a head that is broken or not complete, if they came.

    For the answer to it: nothing of them was checked.
    """
    line = bytes(head[:_LONGEST_LINE]).partition(b"\r\n")[0].decode("latin-1")
    method, _, rest = line.partition(" ")
    return method, rest.partition(" ")[0]


_HOST = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&'()*+,;=")
_HEX = frozenset("0123456789abcdefABCDEF")


def is_host(text: str) -> bool:
    """Say whether ``text`` is ``host[:port]`` by RFC 3986 3.2, without a user."""
    if text[:1] == "[":
        name, closed, rest = text[1:].partition("]")
        if not closed or rest[:1] not in ("", ":") or not _is_address(name):
            return False
        port = rest[1:]
    else:
        name, _, port = text.partition(":")
        if not _HOST.issuperset(name) or not _is_encoded(name):
            return False
    return not port or (port.isascii() and port.isdigit())


def _is_address(text: str) -> bool:
    """Say whether ``text`` is an IPv6 address; a zone has no place in a request."""
    try:
        inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return False
    return True


def _is_encoded(name: str) -> bool:
    """Say whether every percent sign stands before two hexadecimal digits."""
    codes = name.split("%")[1:]
    return all(len(code) >= 2 and _HEX.issuperset(code[:2]) for code in codes)
