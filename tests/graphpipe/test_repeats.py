"""Messages that repeat an earlier one: the same answer as reading them in full."""

import random
from typing import Any

import numpy as np
import pytest

from gpfn.errors import CallerError, TooLarge
from gpfn.graphpipe import decode
from gpfn.graphpipe.encode import encode_request, encode_response
from gpfn.graphpipe.messages import InferRequest, InferResponse, MetadataRequest, Type
from gpfn.graphpipe.reader import Flatbuffer
from gpfn.graphpipe.repeats import Repeats
from gpfn.graphpipe.writer import Writer
from gpfn.limits import Limits
from tests.graphpipe.strategies import same_arrays

LIMITS = Limits()
SHAPE = (1, 20, 1)


class Counted:
    """A reader that counts how often it was asked."""

    def __init__(self, read: Any) -> None:
        self.read, self.calls = read, 0

    def __call__(self, body: Flatbuffer) -> Any:
        self.calls += 1
        return self.read(body)


def request(value: float, *, dtype: str = "float32") -> bytes:
    array = np.full(SHAPE, value, dtype)
    message = InferRequest((array, array[0]), ("x", "y"), ("z",), "config")
    return b"".join(encode_request(message))


def test_from_the_third_on_nothing_is_read_in_full() -> None:
    read = Counted(decode._request)
    repeats = Repeats(read)
    for value in range(50):
        message = repeats(request(value), LIMITS)
        assert message[1:] == (("x", "y"), ("z",), "config")
        assert [np.unique(t).tolist() for t in message.tensors] == [[value], [value]]
        assert [t.shape for t in message.tensors] == [SHAPE, SHAPE[1:]]
        assert not message.tensors[0].flags.writeable
    assert read.calls == 2


def test_responses_and_empty_arrays_repeat_too() -> None:
    read = Counted(decode._response)
    repeats = Repeats(read)
    for value in range(9):
        arrays = (np.zeros((0, 3), np.int8), np.full(3, value), np.zeros(0))
        got = repeats(b"".join(encode_response(InferResponse(arrays))), LIMITS)
        assert same_arrays(got.tensors, arrays)
    assert read.calls == 2


def test_other_bytes_other_limits_and_other_lengths_are_read_in_full() -> None:
    read = Counted(decode._request)
    repeats = Repeats(read)
    for _ in range(3):
        repeats(request(1), LIMITS)
    assert read.calls == 2
    assert repeats(request(1, dtype="int32"), LIMITS).tensors[0].dtype == np.int32
    assert read.calls == 3
    with pytest.raises(TooLarge):
        repeats(request(1), LIMITS._replace(elements=30))
    assert read.calls == 4
    assert repeats(request(1), LIMITS).tensors[0].dtype == np.float32
    assert read.calls == 4


def test_every_changed_byte_is_noticed() -> None:
    """A changed message through a reader that knows the original: as if it knew nothing."""
    original = request(1.5)
    repeats = Repeats(decode._request)
    for place in range(len(original)):
        for value in (0, 1, 4, 255, original[place] ^ 64):
            for _ in range(3):
                repeats(original, LIMITS)
            changed = bytearray(original)
            changed[place] = value
            assert outcome(repeats, bytes(changed)) == outcome(
                lambda body, limits: decode._request(Flatbuffer(body, limits)), bytes(changed)
            )


def outcome(read: Any, body: bytes) -> object:
    """Return what reading gives in a form that can be compared."""
    try:
        message = read(body, LIMITS)
    except CallerError as error:
        return type(error), str(error)
    if isinstance(message, MetadataRequest):
        return message
    return message[1:], [(a.dtype, a.shape, a.tobytes()) for a in message.tensors]


def overlapping(name: bytes) -> bytes:
    """Return a message whose output name lies in the data of its tensor."""
    writer = Writer()
    kind, req = writer.table(0, 1, 4)
    writer.byte(kind, 1)
    _, _, tensors, outputs = writer.table(req, 0, 0, 4, 4)
    (tensor,) = writer.offsets(tensors, 1)
    number, shape, data = writer.table(tensor, 1, 4, 4)
    writer.byte(number, Type.INT8)
    (output,) = writer.offsets(outputs, 1)
    writer.longs(shape, (16,))
    inside = len(writer.out) + 4
    writer.string(data, len(name).to_bytes(4, "little") + name.ljust(12, b"\0"))
    writer.point(output, inside)
    return bytes(writer.out)


def test_a_message_that_reads_its_numbers_is_not_remembered() -> None:
    read = Counted(decode._request)
    repeats = Repeats(read)
    for name in (b"a", b"b", b"c", b"dd", b"e"):
        message = repeats(overlapping(name), LIMITS)
        assert message.output_names == (name.decode(),)
        assert message.tensors[0].tobytes()[4 : 4 + len(name)] == name
    assert read.calls == 5


def test_strings_and_long_descriptions_are_not_remembered() -> None:
    for message in (
        InferRequest((np.array([b"a"], object),)),
        InferRequest((np.zeros(2),), config="x" * 5000),
    ):
        read = Counted(decode._request)
        repeats = Repeats(read)
        for _ in range(5):
            repeats(b"".join(encode_request(message)), LIMITS)
        assert read.calls == 5


def test_what_is_remembered_is_bounded() -> None:
    repeats = Repeats(decode._request)
    bodies = [b"".join(encode_request(InferRequest((np.zeros(n, np.int8),)))) for n in range(2000)]
    for _ in range(2):
        for body in bodies:
            repeats(body, LIMITS)
            repeats(body, LIMITS)
    assert len(repeats._shapes) <= 128
    assert len(repeats._met) <= 128


def test_messages_of_one_length_that_take_turns_are_told_apart() -> None:
    repeats = Repeats(decode._request)
    chance = random.Random(3)
    bodies = {name: request(7, dtype=name) for name in ("float32", "int32", "uint32")}
    assert len({len(body) for body in bodies.values()}) == 1
    for _ in range(300):
        name = chance.choice(list(bodies))
        assert repeats(bodies[name], LIMITS).tensors[0].dtype == name
