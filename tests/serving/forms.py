"""Forms as curl sends them, for the tests that upload."""

from collections.abc import Mapping

__all__ = ["FORM", "form", "upload_form"]

FORM = "multipart/form-data; boundary=x"
"""The media type of what `form` returns."""


def form(parts: Mapping[str, str | tuple[str, bytes]]) -> bytes:
    """Return a form: texts are fields, pairs are files with their names."""
    pieces = []
    for name, value in parts.items():
        filename, content = ("", value.encode()) if isinstance(value, str) else value
        shown = f'; filename="{filename}"' if filename else ""
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'
        pieces.append(head.encode() + content + b"\r\n")
    return b"".join(pieces) + b"--x--\r\n"


def upload_form(name: str, model: bytes, **more: str | tuple[str, bytes]) -> bytes:
    """Return the form that uploads an ONNX model."""
    return form({"name": name, "model": ("m.onnx", model), **more})
