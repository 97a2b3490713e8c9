"""An event without its data: the attributes by their names, each of its type."""

from collections.abc import Mapping
from types import MappingProxyType

from gpfn.events.attributes import CORE, Value

__all__ = ["Envelope"]


class Envelope:
    """The attributes and extensions of an event, checked when it was made.

    One dict, as the parser made it, and properties to read it: copying each attribute
    into a field of its own would cost more than all checks together.
    """

    __slots__ = ("_attributes",)

    _attributes: dict[str, Value]

    @property
    def id(self) -> str:
        """Identifies the event; with ``source`` it does so for everybody."""
        return self._attributes["id"]  # type: ignore[return-value] # checked to be text

    @property
    def source(self) -> str:
        """Where it happened: a URI reference."""
        return self._attributes["source"]  # type: ignore[return-value] # checked to be text

    @property
    def type(self) -> str:
        """What happened, such as ``com.example.forecast``."""
        return self._attributes["type"]  # type: ignore[return-value] # checked to be text

    @property
    def specversion(self) -> str:
        """The version whose names it has and in which it is written: always ``1.0``."""
        return "1.0"

    @property
    def subject(self) -> str | None:
        """What it is about, within ``source``."""
        return self._attributes.get("subject")  # type: ignore[return-value] # checked to be text

    @property
    def time(self) -> str | None:
        """When it happened: RFC 3339, as it came."""
        return self._attributes.get("time")  # type: ignore[return-value] # checked to be text

    @property
    def datacontenttype(self) -> str | None:
        """The media type of the data, as it came; None where it was left to be understood."""
        return self._attributes.get("datacontenttype")  # type: ignore[return-value] # text

    @property
    def dataschema(self) -> str | None:
        """The absolute URI of the schema that the data follows."""
        return self._attributes.get("dataschema")  # type: ignore[return-value] # checked text

    @property
    def extensions(self) -> Mapping[str, Value]:
        """All other attributes; from headers they are text, from JSON they keep their type."""
        found = {name: value for name, value in self._attributes.items() if name not in CORE}
        return MappingProxyType(found)

    def attribute(self, name: str) -> Value | None:
        """Return the attribute or extension ``name``, or None; cheaper than ``extensions``."""
        return self._attributes.get(name)

    def envelope(self) -> dict[str, object]:
        """Return all attributes and extensions, specversion first, as a dict of their own."""
        return {"specversion": "1.0", **self._attributes}
