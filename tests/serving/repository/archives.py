"""Archives for tests, honest ones by the standard library and others byte by byte."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping

__all__ = ["gzipped", "raw_tar", "raw_zip", "tar_of", "zip_of"]


def tar_of(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Pack files as Python does; a name that ends in / is a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.rstrip("/") if name.strip("/") else name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Pack files as Python does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type = name, method
            archive.writestr(info, content)
    return buffer.getvalue()


def raw_tar(
    name: bytes, content: bytes = b"", *, kind: bytes = b"0", size: bytes = b"", mode: int = 0o644
) -> bytes:
    """Return one member of a tar file, without the end: several may be joined."""
    size = size or b"%011o\0" % len(content)
    head = name.ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2 + size.ljust(12, b"\0")
    head += b"00000000000\0" + b" " * 8 + kind + b"/etc/passwd".ljust(100, b"\0")
    head = (head + b"ustar\x0000").ljust(512, b"\0")
    head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
    return head + content + bytes(-len(content) % 512)


def raw_zip(*members: tuple[bytes, bytes], **changed: int) -> bytes:
    """Return a zip of deflated members; ``changed`` are fields of the last one's row.

    ``mode``, ``flags``, ``method``, ``size``, ``at`` and ``crc``.
    """
    data, rows = b"", []
    for name, content in members:
        press = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = press.compress(content) + press.flush()
        row = {"flags": 0, "method": 8, "crc": zlib.crc32(content), "size": len(content)}
        row |= {"at": len(data), "mode": 0}
        if name == members[-1][0]:
            row |= changed
        middle = row["flags"].to_bytes(2, "little") + row["method"].to_bytes(2, "little")
        middle += bytes(4) + row["crc"].to_bytes(4, "little")
        middle += len(packed).to_bytes(4, "little") + row["size"].to_bytes(4, "little")
        middle += len(name).to_bytes(2, "little")
        data += b"PK\x03\x04\x14\0" + middle + bytes(2) + name + packed
        last = (
            bytes(8) + (row["mode"] << 16).to_bytes(4, "little") + row["at"].to_bytes(4, "little")
        )
        rows.append(b"PK\x01\x02\x14\3\x14\0" + middle + last[:2] + last[2:] + name)
    directory = b"".join(rows)
    end = b"PK\x05\x06" + bytes(4) + len(rows).to_bytes(2, "little") * 2
    end += len(directory).to_bytes(4, "little") + len(data).to_bytes(4, "little") + bytes(2)
    return data + directory + end


def gzipped(data: bytes) -> bytes:
    """Return it in gzip, the same every time."""
    return gzip.compress(data, mtime=0)
