"""What a file of PyTorch holds: told without PyTorch, and without running the pickle in it.

A pickle is a list of instructions. Which classes it names can be read from them one by one, and
nothing of it is done.
"""

from __future__ import annotations

import json
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Literal

__all__ = ["Content", "what_it_is"]

Content = Literal["program", "program with code", "script", "module", "weights"]

_PLAIN = ("collections", "torch._utils", "torch", "torch.serialization", "_codecs", "numpy")
"""Modules of what a file of weights names."""
_MOST_BYTES = 64 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError)
"""What reading a member of a zip raises that is damaged."""
_OBJECTS = ("custom_obj", "opaque_obj")
_SIGNS = re.compile(r"[\w+\-*/%(),.<>=&|~ ]*")
_WORD = re.compile(r"[^\W\d]\w*")
_NAMED = re.compile(r"\bSymbol\('[A-Za-z]\w{0,20}'")
_SYMBOL = re.compile(r"[a-z]{1,4}\d+")
_FUNCTIONS = re.compile(
    "Max|Min|Abs|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|Where|ceiling|floor|Eq|Ne|"
    "Lt|Le|Gt|Ge|And|Or|Not|True|False|oo|int_oo|Pow|PowByNatural|FloatPow|IntTrueDiv|"
    "FloatTrueDiv|CeilToInt|FloorToInt|TruncToInt|TruncToFloat|RoundToInt|RoundDecimal|ToFloat|"
    "Integer|Rational|Symbol|Mul|Add|positive|negative|nonnegative|nonpositive|integer|real|zero|"
    "nonzero|even|odd"
)
"""What PyTorch writes sizes with."""


def what_it_is(path: str) -> Content:
    """Return what a file is: an exported program, TorchScript, a pickled module, or weights.

    A program may have code besides: compiled, pickled, or where a size should be. What cannot be
    read as any of these is taken as a pickled module, which is not opened without being trusted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(_is_program(name) for name in names):
                return "program with code" if _has_code(archive) else "program"
            if any("/code/" in name and name.endswith(".py") for name in names):
                return "script"
            inner = next((name for name in names if name.endswith("data.pkl")), None)
            if inner is None:
                return "module"
            with archive.open(inner) as file:
                return _of_pickle(file)
    except (*_DAMAGE, OSError, RuntimeError, NotImplementedError):
        return "module"


def _is_program(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last in ("serialized_exported_program.json", "archive_format") or (
        "/models/" in f"/{name}" and last.endswith(".json")
    )


def _has_code(archive: zipfile.ZipFile) -> bool:
    """Say whether a program has compiled or pickled objects, or sizes that are no formulas.

    PyTorch evaluates the sizes as Python. Pickled tensors are read as nothing but tensors.
    """
    for entry in archive.infolist():
        name = f"/{entry.filename}"
        last = name.rpartition("/")[2]
        if "/aotinductor/" in name or last.startswith(_OBJECTS) or last.endswith(".so"):
            return True
        if last.endswith(".json"):
            if entry.file_size > _MOST_BYTES:
                return True
            text = archive.read(entry).decode("utf-8", errors="replace")
            if not all(_is_formula(found) for found in _formulas(text)):
                return True
    return False


def _formulas(text: str) -> Iterator[str]:
    """Yield all sizes of a program, wherever they stand."""
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError):
        yield "?"
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            if "expr_str" in value:
                yield str(value["expr_str"])
        elif isinstance(value, list):
            waiting += value


def _is_formula(text: str) -> bool:
    text = _NAMED.sub("Symbol(s0", text)
    return bool(_SIGNS.fullmatch(text)) and all(
        _SYMBOL.fullmatch(word) or _FUNCTIONS.fullmatch(word) for word in _WORD.findall(text)
    )


def _of_pickle(file: IO[bytes]) -> Content:
    try:
        named = set(_modules(file.read(_MOST_BYTES)))
    except (ValueError, IndexError, UnicodeDecodeError):
        return "module"
    return "weights" if all(module in _PLAIN for module in named) else "module"


def _modules(data: bytes) -> Iterator[str]:
    """Yield the modules whose things a pickle names."""
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(data):
        if operation.name == "GLOBAL":
            yield str(argument).partition(" ")[0]
        elif operation.name == "STACK_GLOBAL":
            yield texts[-2] if len(texts) > 1 else ""
        if isinstance(argument, str):
            texts.append(argument)
