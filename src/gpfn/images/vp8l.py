"""How much memory the tables of a lossless WebP take (RFC 9649, section 3).

Every square of 4 x 4 pixels may have prefix codes of its own, in 20 bits of the file and 6 to
20 kB of a decoder's memory: 295 kB of file for a million pixels take 380 MB. How many there
are is known only behind the images of the transforms, which are read here without keeping a
pixel.
"""

from typing import NamedTuple

__all__ = ["table_bytes"]

_TOKENS = 1 << 17
"""Pixels of those images that are read; encoders make 16,384 at most of each."""
_LITERALS, _LENGTHS, _DISTANCES = 256, 24, 40
_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_REPEATS = {16: (3, 2), 17: (3, 3), 18: (11, 7)}  # the least, and the bits that add to it
_LONGEST = 15
_GROUP_BYTES = 600
_FIXED_ENTRIES = 2300  # of the codes of red, blue, alpha and distance, as zlib's enough.c has it
_GREEN_ENTRIES = (654, 656, 658, 662, 670, 686, 718, 782, 912, 1168, 1680, 2704)
_PREDICTOR, _COLOUR, _INDEXED = 0, 1, 3


class _Code(NamedTuple):
    """A prefix code: for the next ``length`` bits the symbol and its own length."""

    length: int
    symbols: list[tuple[int, int] | None]


class _Bits:
    """Bits of a stream, the lowest of each byte first."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0
        self._bits = self._count = 0
        self.tokens = _TOKENS

    def _fill(self, count: int) -> None:
        more = self._data[self._at : self._at + 64]
        self._at += 64
        self._bits |= int.from_bytes(more, "little") << self._count
        self._count += 8 * 64
        if self._at - 64 > len(self._data) + count:
            raise ValueError("truncated")

    def read(self, count: int) -> int:
        """Return the next bits as a number."""
        if self._count < count:
            self._fill(count)
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._count -= count
        return value

    def symbol(self, code: _Code) -> int:
        """Return the next symbol of a code."""
        if self._count < _LONGEST:
            self._fill(_LONGEST)
        found = code.symbols[self._bits & ((1 << code.length) - 1)]
        if found is None:
            raise ValueError("a code that is not complete")
        self._bits >>= found[1]
        self._count -= found[1]
        return found[0]


def table_bytes(stream: memoryview, width: int, height: int) -> int:
    """Return what the tables of a VP8L stream take, which begins behind its size.

    Raises ValueError when it is damaged or too large to tell.
    """
    bits, seen = _Bits(stream), set()
    while bits.read(1):
        kind = bits.read(2)
        if kind in seen:
            raise ValueError("a transform occurs twice")
        seen.add(kind)
        if kind in (_PREDICTOR, _COLOUR):
            _image(bits, width, height, bits.read(3) + 2)
        elif kind == _INDEXED:
            colours = bits.read(8) + 1
            _image(bits, colours, 1, 0)
            width = _shrunk(width, _packing(colours))
    cache = bits.read(4) if bits.read(1) else 0
    groups = 1 + _image(bits, width, height, bits.read(3) + 2) if bits.read(1) else 1
    return groups * (4 * (_FIXED_ENTRIES + _GREEN_ENTRIES[cache]) + _GROUP_BYTES)


def _shrunk(side: int, bits: int) -> int:
    return -(-side // (1 << bits))


def _packing(colours: int) -> int:
    """Return the binary logarithm of how many indices of so many colours share a pixel."""
    return 3 if colours <= 2 else 2 if colours <= 4 else 1 if colours <= 16 else 0


def _image(bits: _Bits, width: int, height: int, tile: int) -> int:
    """Read an image of a pixel for each tile; return the largest red and green of any."""
    left, most = _shrunk(width, tile) * _shrunk(height, tile), 0
    cache = 1 << bits.read(4) if bits.read(1) else 0
    green = _code(bits, _LITERALS + _LENGTHS + cache)
    red, blue, alpha = (_code(bits, _LITERALS) for _ in range(3))
    distance = _code(bits, _DISTANCES)
    while left > 0:
        bits.tokens -= 1
        if bits.tokens < 0:
            raise ValueError("its tables are too fine")
        symbol = bits.symbol(green)
        if symbol < _LITERALS:
            most = max(most, bits.symbol(red) << 8 | symbol)
            bits.symbol(blue)
            bits.symbol(alpha)
            left -= 1
        elif symbol < _LITERALS + _LENGTHS:
            left -= _number(bits, symbol - _LITERALS)
            _number(bits, bits.symbol(distance))
        else:
            left -= 1
    return most


def _number(bits: _Bits, prefix: int) -> int:
    if prefix < 4:
        return prefix + 1
    extra = (prefix - 2) >> 1
    return ((2 + (prefix & 1)) << extra) + bits.read(extra) + 1


def _code(bits: _Bits, alphabet: int) -> _Code:
    """Read a prefix code."""
    if bits.read(1):
        two = bits.read(1)
        symbols = [bits.read(8 if bits.read(1) else 1)]
        if two:
            symbols.append(bits.read(8))
        return _table(dict.fromkeys(symbols, 1))
    lengths = {symbol: bits.read(3) for symbol in _ORDER[: 4 + bits.read(4)]}
    code = _table({symbol: lengths[symbol] for symbol in sorted(lengths) if lengths[symbol]})
    left = 2 + bits.read(2 + 2 * bits.read(3)) if bits.read(1) else alphabet
    found: dict[int, int] = {}
    symbol, last = 0, 8
    while symbol < alphabet and left:
        left -= 1
        length = bits.symbol(code)
        times = 1
        if length in _REPEATS:
            least, more = _REPEATS[length]
            times, length = least + bits.read(more), last if length == 16 else 0
        elif length:
            last = length
        if length:
            found.update(dict.fromkeys(range(symbol, symbol + times), length))
        symbol += times
    return _table(found)


def _table(lengths: dict[int, int]) -> _Code:
    """Return the canonical code of these lengths, symbols in their order."""
    if len(lengths) == 1:
        return _Code(0, [(next(iter(lengths)), 0)])
    longest, at = max(lengths.values(), default=0), 0
    symbols: list[tuple[int, int] | None] = [None] * (1 << longest)
    for length in range(1, longest + 1):
        for symbol in (symbol for symbol, own in lengths.items() if own == length):
            start = int(f"{at:0{length}b}"[::-1], 2)
            symbols[start :: 1 << length] = [(symbol, length)] * (1 << (longest - length))
            at += 1
        at <<= 1
    return _Code(longest, symbols)
