"""A producer that writes header names of any bytes, which Python's client does not let through.

It calls the C library that is inside of that client's package.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka

__all__ = ["write_raw"]

_PRODUCER = 0
_SIZE = 512
_END, _TOPIC, _PARTITION, _VALUE, _FLAGS, _HEADERS = 0, 1, 3, 4, 7, 10
_COPY = 2


@cache
def _library() -> Any:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def write_raw(
    settings: Mapping[str, str],
    topic: str,
    value: bytes,
    headers: Sequence[tuple[bytes, bytes | None]],
) -> None:
    """Write one record, and wait until it is there."""
    library = _library()
    error = ctypes.create_string_buffer(_SIZE)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    for key, text in settings.items():
        library.rd_kafka_conf_set(conf, key.encode(), text.encode(), error, _SIZE)
    producer = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, conf, error, _SIZE))
    assert producer.value, error.value
    added = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(len(headers))))
    for name, content in headers:
        size = ctypes.c_ssize_t(0 if content is None else len(content))
        length = ctypes.c_ssize_t(len(name))
        assert library.rd_kafka_header_add(added, name, length, content, size) == 0
    size = ctypes.c_size_t(len(value))
    wrong = library.rd_kafka_producev(
        producer, _TOPIC, topic.encode(), _VALUE, value, size, _FLAGS, _COPY, _HEADERS, added, _END
    )
    assert wrong == 0
    assert library.rd_kafka_flush(producer, 20_000) == 0
    library.rd_kafka_destroy(producer)
