"""Media types of tensor data, in three families."""

__all__ = ["JSON", "NPY", "OCTETS", "family"]

JSON = "application/json"
OCTETS = "application/octet-stream"
NPY = "application/x-npy"

_FAMILIES = {
    JSON: JSON,
    OCTETS: OCTETS,
    NPY: NPY,
    "application/npy": NPY,
    "application/vnd.numpy": NPY,
    "application/vnd.numpy.npy": NPY,
}
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})


def family(media_type: str) -> str | None:
    """Return JSON, OCTETS or NPY for a media type with or without parameters, else None.

    Every ``+json`` type is JSON. JSON in a charset other than UTF-8 is none of the three.
    """
    found = _FAMILIES.get(media_type)
    if found is not None:
        return found
    essence, _, parameters = media_type.partition(";")
    essence = essence.strip().lower()
    found = JSON if essence.endswith("+json") else _FAMILIES.get(essence)
    if found == JSON and _charset(parameters) not in _CHARSETS:
        return None
    return found


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""
