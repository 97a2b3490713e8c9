"""The element types of a GraphPipe tensor and NumPy's names for them.

GraphPipe has no bool: it travels as Uint8, and comes back by the model's signature.
Strings are any bytes; in NumPy they are object arrays of ``bytes``.
"""

from enum import IntEnum

__all__ = ["Type", "type_number"]


class Type(IntEnum):
    """The numbers of the wire, as in ``graphpipe.fbs``.

    >>> Type.FLOAT32.dtype
    'float32'
    """

    NULL = 0
    UINT8 = 1
    INT8 = 2
    UINT16 = 3
    INT16 = 4
    UINT32 = 5
    INT32 = 6
    UINT64 = 7
    INT64 = 8
    FLOAT16 = 9
    FLOAT32 = 10
    FLOAT64 = 11
    STRING = 12

    @property
    def dtype(self) -> str:
        """NumPy's name, ``string`` for STRING and nothing for NULL."""
        return "" if self is Type.NULL else self.name.lower()


_BY_NAME = {kind.dtype: kind for kind in Type if kind} | {"bool": Type.UINT8}


def type_number(dtype: str) -> Type:
    """Return the type for a dtype's name, as in :class:`gpfn.TensorSpec`.

    Raises ValueError for a name that GraphPipe cannot carry.

    >>> type_number("bool")
    <Type.UINT8: 1>
    """
    try:
        return _BY_NAME[dtype]
    except KeyError:
        raise ValueError(f"GraphPipe has no type for {dtype!r}") from None
