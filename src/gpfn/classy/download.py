"""Addresses of pictures in, image files out, in their order: the first stage of a pipeline.

:class:`Downloader` is a handler object (:mod:`gpfn.function.declaration`):
``Function(Downloader())`` is a whole function. What a caller names is fetched from public
addresses alone (:mod:`gpfn.http.fetch`), several at a time. What does not come is an empty
picture with a text that says why; the others come all the same.
"""

import re
from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from gpfn.call.contract import Call
from gpfn.classy.crew import Crew, Errand, shared_crew
from gpfn.classy.source import DownloadSettings, ImageSource, check_image
from gpfn.deadline import Deadline
from gpfn.errors import CallerError, InvalidImage, InvalidTensor, TooLarge, printable
from gpfn.limits import Limits
from gpfn.tensors.spec import TensorSpec

if TYPE_CHECKING:
    import numpy as np

    from gpfn.models.model import Model

__all__ = ["Downloader"]

_FIELD = "images"
_WORDS = re.compile(rb"\s*[A-Za-z][A-Za-z0-9+.-]{1,30}:")
"""How an address begins, of whatever scheme: the wrong ones are told as such."""
_LONGEST = 8001  # one more than is fetched
_SHOWN = 300
_LATE = "took too long: the call's time was up"
_HEAD, _FRAME = 256, 24
"""Bytes of a message besides pictures: for itself, and for each row. What fills a call has to fit
into the body that the next server takes, which is as large."""


class Downloader:
    """Fetches pictures; a handler object for ``Function``.

    Each element of ``images`` is an address (``https://…``) or an image file itself, which
    passes as it is. ``fetch_problems`` is empty where there is a picture.

    >>> sorted(Downloader.outputs)
    ['fetch_problems', 'images']
    """

    takes = "arrays"
    waits = True
    inputs: ClassVar[Mapping[str, TensorSpec]] = {_FIELD: TensorSpec("string", (None,))}
    outputs: ClassVar[Mapping[str, TensorSpec]] = {
        _FIELD: TensorSpec("string", (None,)),
        "fetch_problems": TensorSpec("string", (None,)),
    }

    def __init__(
        self,
        *,
        most: int = 1000,
        limits: Limits | None = None,
        settings: DownloadSettings | None = None,
        crew: Crew | None = None,
    ) -> None:
        """Take how many pictures a call may have; all else is the environment's unless given."""
        self.most = most
        self.limits = limits
        self._settings = settings
        self._crew = crew
        self._source: ImageSource | None = None

    def open(self, model: "Model | None" = None) -> None:
        """Read the settings before the first call. Raises SetupError for a wrong one."""
        del model  # there is none
        self.limits = self.limits or Limits.from_env()
        self._crew or shared_crew()
        self._opened()

    def predict(self, images: "np.ndarray", call: Call) -> "dict[str, np.ndarray]":
        """Return the image files of one call, and why there is none where there is none."""
        rows: list[bytes] = images.tolist()
        if not rows:
            raise InvalidTensor("empty; expected at least one picture", field=_FIELD)
        if len(rows) > self.most:
            raise TooLarge(f"{len(rows)} pictures; at most {self.most} in a call", field=_FIELD)
        self.limits = self.limits or Limits.from_env()
        order = _Order(rows, self._opened(), self.limits.body_bytes, call.deadline)
        (self._crew or shared_crew()).do(order.errands(), call.deadline)
        return order.arrays()

    def _opened(self) -> ImageSource:
        if self._source is None:
            source = ImageSource(self._settings or DownloadSettings.from_env())
            source.open()
            self._source = source
        return self._source


class _Wanted:
    """An address, the rows that it is in, and what has become of it."""

    __slots__ = ("found", "problem", "rows", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.rows: list[int] = []
        self.found = b""
        self.problem = _LATE  # until something else is known


class _Order:
    """The pictures of one call: those that came with it, and those that are fetched.

    Together they have at most ``most`` bytes with the message around them, a picture counted as
    often as it is answered. Only what has come is counted, so that a picture that fails takes
    nothing from the others.
    """

    def __init__(self, rows: list[bytes], source: ImageSource, most: int, deadline: Deadline):
        self._source = source
        self._most = most
        self._left = most - _HEAD - _FRAME * len(rows)
        self._deadline = deadline
        self._lock = Lock()
        self._wanted: dict[str, _Wanted] = {}
        self._images = [b""] * len(rows)
        self._problems = [""] * len(rows)
        for row, content in enumerate(rows):
            self._add(row, content)

    def _add(self, row: int, content: bytes) -> None:
        try:
            self._keep(row, content)
        except CallerError as error:
            if isinstance(error, InvalidImage) and _WORDS.match(content[:_SHOWN]):
                url = content[:_LONGEST].strip().decode("latin-1")
                self._wanted.setdefault(url, _Wanted(url)).rows.append(row)
            else:
                self._problems[row] = _told(error)

    def _keep(self, row: int, content: bytes) -> None:
        """Take a picture that came with the call."""
        check_image(content)
        most = self._source.settings.image_bytes
        if len(content) > most:
            raise TooLarge(f"{len(content)} bytes; at most {most} (GPFN_DOWNLOAD_BYTES)")
        self._spend(len(content))
        self._images[row] = content

    def errands(self) -> list[Errand]:
        """Return what is to be fetched: each address once."""
        return [
            Errand(_host(each.url), partial(self._fetch, each)) for each in self._wanted.values()
        ]

    def _fetch(self, wanted: _Wanted) -> None:
        """Fetch the picture of one address, and say what became of it."""
        times = len(wanted.rows)
        allowed = self._source.settings.image_bytes
        most = min(allowed, self._left // times)
        try:
            if most <= 0:
                raise self._over()
            wanted.found = self._fetched(wanted.url, most, allowed, times)
            wanted.problem = ""
        except CallerError as error:
            wanted.problem = _told(error)

    def _fetched(self, url: str, most: int, allowed: int, times: int) -> bytes:
        try:
            content = self._source.image(url, most, self._deadline)
        except TooLarge as error:
            if most < allowed:
                raise self._over() from None
            raise TooLarge(f"{error.detail} (GPFN_DOWNLOAD_BYTES)") from None
        self._spend(len(content) * times)
        return content

    def _spend(self, count: int) -> None:
        with self._lock:
            if count > self._left:
                raise self._over()
            self._left -= count

    def _over(self) -> TooLarge:
        return TooLarge(f"over the {self._most} bytes of a call (GPFN_MAX_BODY_BYTES)")

    def arrays(self) -> "dict[str, np.ndarray]":
        """Return what there is by now, in the order of the call."""
        for wanted in self._wanted.values():
            problem = wanted.problem  # read once: a download that is late may still end
            for row in wanted.rows:
                self._images[row] = b"" if problem else wanted.found
                self._problems[row] = problem
        return {
            _FIELD: _strings(self._images),
            "fetch_problems": _strings([problem.encode() for problem in self._problems]),
        }


def _host(url: str) -> str:
    """Return whom a URL asks; what cannot be read as one is refused later, with the reason."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _told(error: CallerError) -> str:
    return printable(error.detail, _SHOWN) or error.title


def _strings(values: list[bytes]) -> "np.ndarray":
    import numpy as np

    made = np.empty(len(values), object)
    made[:] = values
    return made
