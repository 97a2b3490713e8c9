"""Taking packages, with their versions and hashes, out of a lock file.

An entry begins with the package's name at the start of a line; its hashes follow, indented.
"""

import re
from collections.abc import Collection, Iterable

__all__ = ["CORE", "EXTRAS", "RUNTIMES", "constraints", "select"]

CORE = ("httptools", "numpy", "orjson")
"""What every image has."""

RUNTIMES = {
    "litert": ("ai-edge-litert",),
    "tensorflow": ("tensorflow-cpu",),
    "onnx": ("onnxruntime",),
}
"""The library that computes. What it depends on besides, predicting does not import."""

EXTRAS = {
    "cloudevents": ("cloudevents", "python-dateutil", "six"),
    "grpc": ("grpcio", "protobuf", "typing-extensions"),
    "forms": ("multipart",),
    "images": ("multipart", "pillow"),
    "kafka": ("confluent-kafka",),
    "nats": ("nats-py",),
    "objects": ("obstore", "typing-extensions"),
    "onnx": RUNTIMES["onnx"],
    "otel": (
        "certifi",
        "charset-normalizer",
        "googleapis-common-protos",
        "idna",
        "opentelemetry-api",
        "opentelemetry-exporter-http-transport",
        "opentelemetry-exporter-otlp-common",
        "opentelemetry-exporter-otlp-proto-common",
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-proto",
        "opentelemetry-sdk",
        "opentelemetry-semantic-conventions",
        "protobuf",
        "requests",
        "typing-extensions",
        "urllib3",
    ),
    "protobuf": ("protobuf",),
    "server": ("uvloop",),
    "tensorflow": RUNTIMES["tensorflow"],
}
"""gpfn's extras, as a platform's row and a function's requirements.txt ask for them."""

_ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def select(lock: str, names: Iterable[str]) -> str:
    """Return the lock's entries of some packages; raises KeyError for one that is not there."""
    entries: dict[str, list[str]] = {}
    for entry in filter(None, _ENTRY.split(lock)):
        entries.setdefault(_canonical(entry), []).append(entry)
    return "".join(entry for name in sorted(set(names)) for entry in entries[_canonical(name)])


def constraints(lock: str, without: Collection[str] = ()) -> str:
    """Return the lock's versions without their hashes, which pip refuses in constraints.

    ``without`` are canonical names of packages that may have any version.
    """
    entries = (entry for entry in _ENTRY.split(lock) if _canonical(entry) not in {"", *without})
    return "".join(f"{entry.splitlines()[0].rstrip(' ' + chr(92))}\n" for entry in entries)


def _canonical(text: str) -> str:
    match = _NAME.match(text)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""
