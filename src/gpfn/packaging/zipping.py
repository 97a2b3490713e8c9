"""Writing a zip that depends on its contents only: sorted, with one date and one mode."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Content", "write_zip"]

Content = bytes | Path
"""A file's bytes, or where to read them."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_PROGRAM = 0o100755 << 16


def write_zip(target: Path, files: Mapping[str, Content]) -> int:
    """Write ``files`` by their names in the zip; returns its size in bytes.

    The file appears when it is complete. Raises OSError.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                info = zipfile.ZipInfo(name, _EARLIEST)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = _mode(files[name])
                archive.writestr(info, _bytes(files[name]))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _mode(content: Content) -> int:
    is_program = isinstance(content, Path) and os.access(content, os.X_OK)
    return _PROGRAM if is_program else _MODE
