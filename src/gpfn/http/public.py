"""Which IP addresses are everybody's: what may be connected to for a stranger.

Everything is refused but global unicast. Of IPv6 that is 2000::/3, the only block that is
handed out (IANA, "Internet Protocol Version 6 Address Space"), so loopback, IPv4 in IPv6
in all its forms (::/96, ::ffff:0:0/96, ::ffff:0:0:0/96), NAT64 (RFC 6052, RFC 8215), unique,
link and site local addresses, multicast and all that is reserved are out without being
listed. Of both families the blocks of IANA's special-purpose registries are refused as
well: "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry"
(RFC 6890 and its updates, as of 2025). That some of those are reachable from everywhere
(anycast of protocols, AS 112's name servers) makes none of them a web server.
"""

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

__all__ = ["is_public"]

_SPECIAL = (
    "0.0.0.0/8",  # this host, this network
    "10.0.0.0/8",  # private use
    "100.64.0.0/10",  # shared by a carrier's customers
    "127.0.0.0/8",  # loopback
    "168.63.129.16/32",  # not IANA's: Azure answers machines there with their secrets
    "169.254.0.0/16",  # link local, and with it the metadata services
    "172.16.0.0/12",  # private use
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS 112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # relays of 6to4, deprecated
    "192.168.0.0/16",  # private use
    "192.175.48.0/24",  # AS 112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID, …
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4: IPv4 in IPv6
    "2620:4f:8000::/48",  # AS 112
    "3fff::/20",  # documentation
)
_UNICAST = "2000::/3"


def is_public(address: str) -> bool:
    """Say whether ``address``, an IP address in standard form, is one of everybody's.

    One with a zone (``fe80::1%eth0``) is not, and neither is what is no address.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    unicast, special = _networks()
    if ip.version == 6 and (ip not in unicast or ip.scope_id is not None):
        return False
    return not any(ip in network for network in special)


@cache
def _networks() -> tuple[IPv6Network, tuple[IPv4Network | IPv6Network, ...]]:
    return IPv6Network(_UNICAST), tuple(map(ip_network, _SPECIAL))
