"""The data of one call, whether it came in an event or as a plain body."""

from __future__ import annotations

from collections.abc import Mapping

from gpfn.errors import InvalidEvent, InvalidRequest, UnsupportedMedia
from gpfn.media import JSON, OCTETS, TEXT_JSON, UNTYPED, essence, is_utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gpfn.deadline import Deadline
    from gpfn.events.event import Event

__all__ = ["Payload"]

_UNSET: object = ...
"""Stands where there is no JSON value; the same as :data:`gpfn.events.event.ABSENT`."""
_NO_ATTRIBUTES: Mapping[str, str] = {}
_JSON = frozenset([JSON, TEXT_JSON])


class Payload:
    """Bytes with their media type, and the event around them when there was one.

    A function with ``takes="payload"`` is called with one of these, and may return one
    to answer with bytes of a media type of its choice.

    >>> Payload.from_json({"a": [1, 2]}).data
    b'{"a":[1,2]}'
    """

    __slots__ = (
        "_data",
        "_expiry",
        "_loose",
        "_value",
        "attributes",
        "event",
        "form",
        "headers",
        "media_type",
        "mixed",
        "outputs",
        "request_id",
    )

    def __init__(
        self,
        data: bytes | bytearray | memoryview = b"",
        media_type: str = OCTETS,
        *,
        event: Event | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """``headers`` are the transport's; ``attributes`` describe the data (dtype, shape)."""
        self._data: bytes | bytearray | memoryview | None = data
        self._value: object = _UNSET
        self._loose = False  # whether whole numbers beyond 64 bits may be floats in it
        self._expiry: object = None
        self.media_type = media_type
        self.event = event
        self.headers = headers
        self.attributes: Mapping[str, str] = attributes or _NO_ATTRIBUTES
        self.mixed = False
        """Whether members of its JSON object may be a platform's: parameters of an action."""
        self.form = "nested"
        """Which of the JSON forms of tensors it had; arrays are answered in the same."""
        self.outputs: tuple[str, ...] = ()
        """The outputs that a GraphPipe or an open-inference request asked for by name."""
        self.request_id: str | None = None
        """The ``id`` of an open-inference request, which its answer repeats."""

    @classmethod
    def from_json(cls, value: object, *, headers: tuple[tuple[str, str], ...] = ()) -> Payload:
        """Return the payload of a value that is parsed already."""
        payload = cls(b"", JSON, headers=headers)
        payload._data, payload._value = None, value
        return payload

    @classmethod
    def from_event(cls, event: Event, headers: tuple[tuple[str, str], ...] = ()) -> Payload:
        """Return the payload of an event; its data are read when they are asked for."""
        value, data, media_type, expiry = event.content
        payload = cls.__new__(cls)
        payload._data = data
        payload._value = value
        payload._loose = True
        payload._expiry = expiry
        payload.media_type = media_type or (OCTETS if value is _UNSET else JSON)
        payload.event = event
        payload.headers = headers
        payload.attributes = _NO_ATTRIBUTES
        payload.mixed = False
        payload.form = "nested"
        payload.outputs = ()
        payload.request_id = None
        return payload

    @property
    def data(self) -> bytes:
        """The bytes; empty when there are none."""
        if self._data is None:
            self._data = self._make_data()
        if not isinstance(self._data, bytes):
            self._data = bytes(self._data)
        return self._data

    @property
    def view(self) -> bytes | bytearray | memoryview:
        """The bytes without a copy, as they were received."""
        if self._data is None and self.event is not None:
            return self.event.buffer or b""
        return self.data if self._data is None else self._data

    def _make_data(self) -> bytes:
        if self.event is not None:
            return self.event.data or b""
        from gpfn.json_exact import dumps

        try:
            return dumps(self._value)
        except TypeError as error:  # of a plain call: what came as JSON is JSON
            raise InvalidRequest(f"no value of JSON: {error}", field=self.field) from None

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a byte nor a parsed value."""
        return self._value is _UNSET and not self._data

    @property
    def has_data(self) -> bool:
        """Whether there are data, if only of no bytes; an event may have none."""
        return self._data is not None or self._value is not _UNSET

    @property
    def is_parsed(self) -> bool:
        """Whether its JSON value is known, so that its bytes are known to be JSON text."""
        return self._value is not _UNSET

    @property
    def base_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return essence(self.media_type)

    @property
    def is_json(self) -> bool:
        """Whether the media type says JSON, or a plain body's says nothing, as curl's does."""
        if self.media_type == JSON:
            return True
        base = self.base_type
        if base in _JSON or base.endswith("+json"):
            return True
        return self.event is None and base in UNTYPED

    @property
    def field(self) -> str:
        """What an error calls the data: ``data`` of an event, ``body`` of anything else."""
        return "body" if self.event is None else "data"

    def expiry(self) -> Deadline | None:
        """Return the deadline that the event's ``expirytime`` sets, if it has one.

        Raises InvalidEvent when it is no time.
        """
        text = self._expiry
        if text is None:
            return None
        from gpfn.deadline import Deadline
        from gpfn.timestamps import epoch_seconds

        try:
            return Deadline.at_epoch(epoch_seconds(str(text)))
        except ValueError:
            raise InvalidEvent(f"not a time: {text!r:.60}", field="expirytime") from None

    def header(self, name: str) -> str | None:
        """Return the first value of the transport's header ``name`` (lower-case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def json(self, *, exact: bool = True) -> object:
        """Return the data parsed as JSON; parsed once.

        ``exact=False`` leaves whole numbers beyond 64 bits as floats, which takes less time
        and is enough for arrays. Raises InvalidRequest (or the event's InvalidEvent) when it
        is not JSON, or has a number that no Python value holds.
        """
        if self._value is _UNSET or (exact and self._loose):
            event = self.event
            self._value = self._parse(exact) if event is None else event.json(exact=exact)
            self._loose = not exact
        return self._value

    def _parse(self, exact: bool) -> object:
        from orjson import JSONDecodeError

        from gpfn.json_exact import UnreadableNumber, loads, loads_loosely, path_of

        if not is_utf8(self.media_type) and self.base_type not in UNTYPED:
            raise UnsupportedMedia(f"JSON is UTF-8, not {self.media_type}", field=self.field)
        view = self.view
        if not view:
            raise InvalidRequest("empty; expected JSON", field=self.field)
        try:
            return loads(view) if exact else loads_loosely(view)
        except UnreadableNumber as error:
            raise InvalidRequest(error.detail, field=path_of(self.field, error.steps)) from None
        except JSONDecodeError as error:
            raise InvalidRequest(f"not JSON: {error}", field=self.field) from None

    def text(self) -> str:
        """Return the data as UTF-8 text; raises InvalidRequest when it is not."""
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"not UTF-8 text: {error}", field=self.field) from None

    def __repr__(self) -> str:
        where = "" if self.event is None else f", event={self.event.id!r}"
        return f"Payload(media_type={self.media_type!r}{where})"
