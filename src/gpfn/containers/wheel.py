"""Making a wheel of an installed package again, for machines without its sources."""

import base64
import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["repack"]

_EARLIEST = (1980, 1, 1, 0, 0, 0)


def repack(name: str, folder: Path) -> Path:
    """Write the wheel of an installed pure Python package into a folder; returns its path.

    Raises SetupError when it is not installed, or not from a wheel.
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise SetupError(f"{name} is not installed here as a package") from error
    info = f"{name}-{found.version}.dist-info"
    wanted = [path for path in found.files or () if _belongs(path.as_posix(), name, info)]
    if not any(path.as_posix() == f"{name}/__init__.py" for path in wanted):
        raise SetupError(f"{name} is installed from a folder that is no checkout of it")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{found.version}-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(wanted, key=str):
            data = Path(str(path.locate())).read_bytes()
            archive.writestr(zipfile.ZipInfo(path.as_posix(), _EARLIEST), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            record.append(f"{path.as_posix()},sha256={digest.decode()},{len(data)}")
        lines = "\n".join([*record, f"{info}/RECORD,,\n"])
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD", _EARLIEST), lines)
    return target


def _belongs(path: str, name: str, info: str) -> bool:
    if path.startswith(f"{info}/"):
        return path.rpartition("/")[2] not in (
            "RECORD",
            "INSTALLER",
            "REQUESTED",
            "direct_url.json",
        )
    return path.startswith(f"{name}/") and not path.endswith(".pyc")
