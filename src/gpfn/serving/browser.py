"""Does a write come from a page of another site? A browser lends such a page its way to us.

Listening on loopback is no guard: a page can have the browser that shows it send requests to
127.0.0.1, and by giving its own name the address 127.0.0.1 (DNS rebinding) it even reads the
answers. What it cannot do is to lie in three headers that the browser writes: Host is the name
that the page was addressed by, Origin the site that it is from, Sec-Fetch-Site whether that is
this one. So a write has to name one of the server's own names as its Host, exactly, and where
a browser says more, all of that has to agree. Programs send neither of the other two.

Sources: RFC 6454, section 7; W3C Fetch Metadata Request Headers.
"""

from collections.abc import Iterable

from gpfn.serving.tokens import Forbidden

__all__ = ["check_browser", "own_hosts"]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_ANY = ("", "0.0.0.0", "::")
_OURS = ("same-origin", "none")
"""Of Sec-Fetch-Site: a page of this server, and no page at all, such as the address bar."""


def own_hosts(host: str, port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """Return what Host may be for a server that listens at ``host`` and ``port``.

    Those are its address, the names of the loopback, and ``more``, such as the name that a
    proxy in front has, each with and without the port; one that names a port, with that alone.
    """
    address = () if host in _ANY else (f"[{host}]" if ":" in host else host,)
    names = [each.lower() for each in (*_LOOPBACK, *address, *more)]
    bare = [name for name in names if ":" not in name.rpartition("]")[2]]
    return frozenset([*names, *(f"{name}:{port}" for name in bare)])


def check_browser(
    headers: Iterable[tuple[str, str]],
    allowed_hosts: frozenset[str],
    *,
    token: bool = False,
    same_site: bool = False,
) -> None:
    """Raise Forbidden when a request that writes may come from a page of another site.

    ``headers`` are its header lines, their names in lower case; ``allowed_hosts`` come from
    `own_hosts`. With ``token``, it has shown one that is known: no page of another site has
    that, and a program may call the server by any name. With ``same_site``, a page of another
    port of this host may lead to it, by a link.
    """
    lines = tuple(headers)
    hosts, origins, sites = (
        [value for name, value in lines if name == wanted]
        for wanted in ("host", "origin", "sec-fetch-site")
    )
    host = hosts[0].lower() if len(hosts) == 1 else ""
    if host not in allowed_hosts and (origins or sites or not token):
        raise Forbidden("not a name of this server; it may be given more names", field="host")
    if any(origin not in (f"http://{host}", f"https://{host}") for origin in origins):
        raise Forbidden("a page of another site may not do this", field="origin")
    if any(site not in _OURS and not (same_site and site == "same-site") for site in sites):
        raise Forbidden("a page of another site may not do this", field="sec-fetch-site")
