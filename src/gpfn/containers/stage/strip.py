"""Removing from the image's packages what no prediction reads."""

import shutil
from pathlib import Path

from .elf import cut

__all__ = ["ANYWHERE", "OF_PACKAGES", "UNUSED_FOLDERS", "strip"]

UNUSED_FOLDERS = ("__pycache__", "tests", "include")
"""Folders of that name in any package, and everything in them."""

ANYWHERE = ("*.a", "*.c", "*.cc", "*.h", "*.hpp", "*.pxd", "*.pyi", "*.pyx", "py.typed")
"""Files in any package: for compilers and type checkers."""

OF_PACKAGES = {
    "numpy": ("f2py", "_pyinstaller", "typing/mypy_plugin.py"),
    # the interpreter's wrapper is linked with the common library alone; libLiteRt.so with it
    "ai_edge_litert": (
        "libLiteRtWebGpuAccelerator.so",
        "aot",
        "tools",
        "vendors",
        "tflite",
        "schema_py_generated.py",
        "*_pb2.py",
    ),
    "onnxruntime": ("datasets", "quantization", "tools", "transformers", "backend"),
}
"""Paths below one package: parts of it that predicting does not import."""

_DIST_INFO = ("RECORD", "REQUESTED", "INSTALLER", "direct_url.json")
_TENSORFLOW = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")


def strip(site: Path) -> None:
    """Strip every package in a site-packages folder."""
    for path in [*_unused_folders(site), *_unused_files(site)]:
        _remove(path)
    _only_c_library(site / "tensorflow")
    for library in site.rglob("*.so*"):
        if library.is_file() and not library.is_symlink():
            cut(library)


def _unused_folders(site: Path) -> list[Path]:
    """Return the folders to remove, inner ones first."""
    folders = (path for path in site.rglob("*") if path.name in UNUSED_FOLDERS)
    return sorted((path for path in folders if path.is_dir()), reverse=True)


def _unused_files(site: Path) -> list[Path]:
    """Return what else is to be removed, as far as no folder to be removed has it."""
    masks = [f"**/{mask}" for mask in ANYWHERE]
    masks += [f"{package}/{part}" for package, parts in OF_PACKAGES.items() for part in parts]
    masks += [f"*.dist-info/{name}" for name in _DIST_INFO]
    found = {path for mask in masks for path in site.glob(mask)}
    return sorted(path for path in found if not found.intersection(path.parents))


def _only_c_library(package: Path) -> None:
    """Leave of TensorFlow its C library: gpfn calls that, and never imports the package."""
    if not package.is_dir():
        return
    for path in package.iterdir():
        if path.name not in _TENSORFLOW:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
