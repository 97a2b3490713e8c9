"""Taking packages, with their versions and hashes, out of a lock file."""

import re
from collections.abc import Iterable

__all__ = ["CORE", "EXTRAS", "RUNTIMES", "constraints", "extras_of", "select"]

CORE = (
    "certifi",
    "charset-normalizer",
    "httptools",
    "idna",
    "numpy",
    "orjson",
    "requests",
    "urllib3",
)
"""What every image has."""

RUNTIMES = {
    "litert": ("ai-edge-litert",),
    "tensorflow": ("tensorflow-cpu",),
    "onnx": ("onnxruntime",),
}
"""The library that computes. What it depends on besides, predicting does not import."""

EXTRAS = {
    "cloudevents": ("cloudevents", "python-dateutil", "six"),
    "images": ("multipart", "pillow"),
    "onnx": RUNTIMES["onnx"],
    "server": ("uvloop",),
    "tensorflow": RUNTIMES["tensorflow"],
}
"""gpfn's extras, as a platform's row and a function's requirements.txt ask for them."""

_ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_OURS = re.compile(r"gpfn\s*(?:\[([^\]]*)\])?\s*(?:[<>=!~;@].*)?", re.IGNORECASE)


def select(lock: str, names: Iterable[str]) -> str:
    """Return the lock's entries of some packages; raises KeyError for one that is not there."""
    entries: dict[str, list[str]] = {}
    for entry in filter(None, _ENTRY.split(lock)):
        entries.setdefault(_canonical(entry), []).append(entry)
    return "".join(entry for name in sorted(set(names)) for entry in entries[_canonical(name)])


def constraints(lock: str) -> str:
    """Return the lock's versions without their hashes, which pip refuses in constraints."""
    entries = filter(None, _ENTRY.split(lock))
    return "".join(f"{entry.splitlines()[0].rstrip(' ' + chr(92))}\n" for entry in entries)


def extras_of(requirement: str) -> tuple[str, ...] | None:
    """Return the extras of a requirement on gpfn; None when it is on something else."""
    match = _OURS.fullmatch(requirement.strip())
    if match is None:
        return None
    return tuple(extra.strip().lower() for extra in (match[1] or "").split(",") if extra.strip())


def _canonical(text: str) -> str:
    match = _NAME.match(text)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""
