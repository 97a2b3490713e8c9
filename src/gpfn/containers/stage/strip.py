"""Removing from the image's packages what no prediction reads."""

import fnmatch
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
    for folder in sorted(site.rglob("*"), reverse=True):
        if folder.is_dir() and not folder.is_symlink() and folder.name in UNUSED_FOLDERS:
            shutil.rmtree(folder)
    for file in list(site.rglob("*")):
        if file.is_file() and any(fnmatch.fnmatch(file.name, mask) for mask in ANYWHERE):
            file.unlink()
    for package, masks in OF_PACKAGES.items():
        for path in [found for mask in masks for found in (site / package).glob(mask)]:
            _remove(path)
    for info in site.glob("*.dist-info"):
        for name in _DIST_INFO:
            (info / name).unlink(missing_ok=True)
    _only_c_library(site / "tensorflow")
    for library in site.rglob("*.so*"):
        if library.is_file() and not library.is_symlink():
            cut(library)


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
        path.unlink()
