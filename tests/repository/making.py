"""Versions of models that tests write, send and read."""

import hashlib
from typing import Any

from gpfn.repository.documents import Manifest, StoredFile, content_digest
from gpfn.tensors.spec import TensorSpec

__all__ = ["manifest", "stored"]


def stored(path: str, content: bytes = b"x") -> StoredFile:
    """Return what is known of a file with this content."""
    return StoredFile(path, len(content), hashlib.sha256(content).hexdigest())


def manifest(**changes: Any) -> Manifest:
    """Return a version of digits, with other values where they are given."""
    files = (stored("digits.tflite", b"model"), stored("labels.txt", b"0\n1\n"))
    made = Manifest(
        name="digits",
        version=3,
        digest=content_digest(files),
        files=files,
        model="digits.tflite",
        kind="litert",
        inputs=(TensorSpec("float32", (None, 64), "pixels"),),
        outputs=(TensorSpec("float32", None, "classes"),),
        labels="labels.txt",
        params={"input_node": "x", "deep": [1, 2**70, 0.5, None]},
        notes=("input_node is not used",),
        who="anna",
        when="2026-11-29T03:00:00Z",
        source="push",
    )
    return made._replace(**changes)
