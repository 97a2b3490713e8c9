"""One picture from one address: what may be asked, what may come of it, and the cache before it.

A server says what it sends, and the file's first bytes say what it is. Where the two differ,
something is wrong: a page of a portal under the address of a picture, or a picture that is
handed out as a page. Only a type that says nothing is passed over.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gpfn.deadline import Deadline
from gpfn.errors import InvalidImage, SetupError
from gpfn.images.kinds import kind_of
from gpfn.settings import parse_whole, read_duration, read_size

if TYPE_CHECKING:
    from gpfn.classy.cache import ImageCache

__all__ = ["DownloadSettings", "ImageSource", "check_image"]

_FIELD = "images"
_MIB = 1 << 20
_TYPES = {
    "JPEG": ("image/jpeg", "image/jpg", "image/pjpeg"),
    "PNG": ("image/png", "image/x-png", "image/apng", "image/vnd.mozilla.apng"),
    "WebP": ("image/webp",),
    "GIF": ("image/gif",),
}
"""The media types that each format is served as, those of old servers among them."""
_UNSAID = frozenset(("", "application/octet-stream", "binary/octet-stream"))
"""What servers say of a file that they know nothing of; S3 has the last one."""
_SHOWN = 60


class DownloadSettings(NamedTuple):
    """What may be downloaded, as ``GPFN_DOWNLOAD_…`` says.

    ``hosts`` are those of one's own network that may be asked although they are not public,
    ``seconds`` and ``image_bytes`` are for one picture, ``cache`` is a folder, none when empty.
    """

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    seconds: float = 5.0
    image_bytes: int = 16 * _MIB
    cache: str = ""
    cache_bytes: int = 256 * _MIB

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "DownloadSettings":
        """Return what the environment says. Raises SetupError with the variable's name."""
        from gpfn.http.fetch import parse_hosts

        default = cls()
        hosts = environ.get("GPFN_DOWNLOAD_HOSTS", "")
        return cls(
            hosts=parse_hosts(hosts, field="GPFN_DOWNLOAD_HOSTS"),
            ports=_ports(environ.get("GPFN_DOWNLOAD_PORTS", "")) or default.ports,
            seconds=read_duration("GPFN_DOWNLOAD_SECONDS", default.seconds, environ=environ),
            image_bytes=read_size("GPFN_DOWNLOAD_BYTES", default.image_bytes, environ=environ),
            cache=environ.get("GPFN_DOWNLOAD_CACHE", ""),
            cache_bytes=read_size(
                "GPFN_DOWNLOAD_CACHE_BYTES", default.cache_bytes, environ=environ
            ),
        )


def _ports(text: str) -> tuple[int, ...]:
    words = text.replace(",", " ").split()
    if text and not words:
        raise SetupError("expected numbers of ports with commas", field="GPFN_DOWNLOAD_PORTS")
    name, most = "GPFN_DOWNLOAD_PORTS", (1 << 16) - 1
    return tuple(parse_whole(word, field=name, least=1, most=most) for word in words)


class ImageSource:
    """Gives the picture of an address, from the cache or from its server."""

    def __init__(self, settings: DownloadSettings) -> None:
        self.settings = settings
        self._cache: ImageCache | None = None

    def open(self) -> None:
        """Make the cache's folder. Raises SetupError when it cannot be written to."""
        if self.settings.cache and self._cache is None:
            from gpfn.classy.cache import ImageCache

            cache = ImageCache(self.settings.cache, self.settings.cache_bytes)
            cache.open("GPFN_DOWNLOAD_CACHE")
            self._cache = cache

    def image(self, url: str, most: int, deadline: Deadline) -> bytes:
        """Return the bytes of an image file, at most ``most`` of them.

        Raises UrlRefused with the reason, InvalidImage for what is no image or is said to be
        something else, TooLarge.
        """
        from gpfn.http.fetch import FetchPolicy, fetch_page

        kept = self._cache and self._cache.get(url, most)
        if kept:
            return kept
        told = self.settings
        policy = FetchPolicy(most, told.seconds, ports=told.ports, hosts=told.hosts)
        page = fetch_page(url, policy, deadline, field=_FIELD)
        check_image(page.content, page.media_type)
        if self._cache and page.may_keep:
            self._cache.put(url, page.content)
        return page.content


def check_image(content: bytes, media_type: str = "") -> None:
    """Raise InvalidImage for what does not begin as an image file, or as one of its type."""
    said = "" if media_type in _UNSAID else f"its type is {media_type[:_SHOWN]!r}, but "
    if not content:
        raise InvalidImage(f"{said}it is empty", field=_FIELD)
    try:
        kind = kind_of(content, _FIELD)
    except InvalidImage as error:
        raise InvalidImage(said + error.detail, field=_FIELD) from None
    if said and media_type not in _TYPES[kind.name]:
        raise InvalidImage(f"{said}its bytes are a {kind.name} image", field=_FIELD)
