"""Broken messages: a value or one kind of error, in little time and memory."""

import random
import struct
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from gpfn.errors import InvalidMessage, TooLarge
from gpfn.graphpipe.decode import decode_metadata, decode_request, decode_response
from gpfn.graphpipe.encode import encode_metadata, encode_request, encode_response
from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
)
from tests.alone import alone, peak
from tests.graphpipe.oracle import Oracle

SECONDS = 0.05
"""For one message of a few hundred bytes; usual are 0.00001, the rest is the machine's."""

ARRAYS = (
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array([[b"a\0b", b""], [b"c", b"long enough"]], object),
    np.zeros((0, 4), np.int64),
    np.array(1, np.uint8),
)
REQUEST = InferRequest(ARRAYS, ("a", "b", "c", "d"), ("y", "z"), '{"k": 1}')
MESSAGES = (
    REQUEST,
    MetadataRequest(),
    InferResponse(ARRAYS[:2], (Error(7, "no"), Error(-1, "\u00e9"))),
    MetadataResponse(
        "model",
        "1",
        "gpfn",
        "text",
        (IOMetadata("x", "an input", (-1, 3), Type.FLOAT32),),
        (IOMetadata("y", "", (), Type.STRING), IOMetadata("z", "", (0,), Type.NULL)),
    ),
)


@pytest.fixture(scope="module")
def valid(oracle: Oracle) -> list[bytes]:
    """Valid messages of every kind, in our layout and in that of flatbuffers."""
    encoders = (encode_request, encode_request, encode_response, encode_metadata)
    ours = [b"".join(encode(m)) for encode, m in zip(encoders, MESSAGES, strict=True)]
    return ours + [oracle.write(message) for message in MESSAGES]


def examine(body: bytes) -> int:
    """Decode ``body`` as everything, use what comes, and return how often a value came.

    An error without a path counts as minus one, for that must not be.
    """
    values = 0
    for decode in (decode_request, decode_response, decode_metadata):
        begin = time.process_time()
        try:
            message = decode(body)
        except (InvalidMessage, TooLarge) as error:
            path = error.field or ""
            values -= not path.startswith(("request", "infer_re", "metadata_re"))
        else:
            values += 1
            for array in getattr(message, "tensors", ()):
                assert array.nbytes <= 8 * len(body) + 64
                array.tobytes()
        assert time.process_time() - begin < SECONDS
    return values


def every_byte(body: bytes) -> Iterator[bytes]:
    for place, byte in enumerate(body):
        for value in {0, 1, 2, 4, 8, 16, 127, 128, 255, byte ^ 1, byte ^ 128, (byte + 4) % 256}:
            yield body[:place] + bytes([value]) + body[place + 1 :]


def every_word(body: bytes) -> Iterator[bytes]:
    size = len(body)
    values = (0, 1, 4, size - 4, size, size + 4, 2**16, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)
    for place in range(0, size - 3, 4):
        for value in values:
            yield body[:place] + struct.pack("<I", value) + body[place + 4 :]


def every_cut(body: bytes) -> Iterator[bytes]:
    for end in range(len(body)):
        yield body[:end]
        yield body[end:]
        yield body[:end] + bytes(len(body) - end)


def at_random(body: bytes, chance: random.Random) -> Iterator[bytes]:
    for _ in range(4000):
        changed = bytearray(body)
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(changed))
            match chance.randrange(4):
                case 0:
                    changed[place] = chance.randrange(256)
                case 1:
                    del changed[place : place + chance.randint(1, 8)]
                case 2:
                    changed[place:place] = chance.randbytes(chance.randint(1, 8))
                case 3:
                    other = chance.randrange(len(changed))
                    changed[place : place + 4] = changed[other : other + 4]
            changed = changed or bytearray(1)
        yield bytes(changed)


def test_valid_messages_are_values(valid: list[bytes]) -> None:
    assert all(examine(body) for body in valid)


def taken_by_mutations(
    mutations: Callable[[bytes], Iterator[bytes]], valid: Sequence[bytes]
) -> int:
    before = peak()
    outcomes = [examine(changed) for body in valid for changed in mutations(body)]
    assert len(outcomes) > 3000
    assert min(outcomes) == 0
    assert max(outcomes) > 0
    return peak() - before


@pytest.mark.parametrize("mutations", [every_byte, every_word, every_cut])
def test_no_mutation_gets_through(valid: list[bytes], mutations: object) -> None:
    assert alone(taken_by_mutations, mutations, valid) < 32 << 20


def taken_by_random_mutations(valid: Sequence[bytes]) -> int:
    chance = random.Random(20_000)
    before = peak()
    for body in valid:
        for changed in at_random(body, chance):
            assert examine(changed) >= 0
    return peak() - before


def test_no_random_mutation_gets_through(valid: list[bytes]) -> None:
    assert alone(taken_by_random_mutations, valid) < 32 << 20


def test_random_bytes_get_nowhere() -> None:
    chance = random.Random(7)
    for size in range(400):
        assert examine(chance.randbytes(size)) == 0
