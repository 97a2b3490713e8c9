"""Reading a func.yaml: the part of YAML that Fn's command line writes.

That is scalars and one level of nested maps (``config``); lists and deeper maps
(``triggers``, ``deploy``) are passed over, since invoking needs none of them. Schema:
https://github.com/fnproject/docs/blob/master/fn/develop/func-file.md
"""

import json
import re
from pathlib import Path

from gpfn.errors import SetupError

__all__ = ["FuncFile", "read_func_file"]

FuncFile = dict[str, str | dict[str, str]]

_LINE = re.compile(
    r"(?P<indent> *)(?P<key>[A-Za-z0-9_./-]+|\"[^\"]+\"|'[^']+') *:(?: +(?P<value>.*))?$"
)
_ESCAPES = {r"\"": '"', r"\\": "\\", r"\n": "\n", r"\t": "\t"}


def read_func_file(path: Path) -> FuncFile:
    """Return the scalars and the maps of scalars of a func.yaml or func.json.

    Raises SetupError with the line that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot be read: {error}", field=str(path)) from error
    if path.suffix == ".json":
        return _from_json(text, path)
    return _from_yaml(text, path)


def _from_json(text: str, path: Path) -> FuncFile:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SetupError(f"not JSON: {error}", field=str(path)) from error
    if not isinstance(values, dict):
        raise SetupError("expected an object", field=str(path))
    found: FuncFile = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found[key] = {name: str(item) for name, item in value.items()}
        elif not isinstance(value, list):
            found[key] = str(value)
    return found


def _from_yaml(text: str, path: Path) -> FuncFile:
    found: FuncFile = {}
    inner: dict[str, str] = {}
    depth = 0  # of the lines in the map that is being read; 0 before the first
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.rstrip()
        if not line or line.lstrip().startswith("#") or line in ("---", "..."):
            continue
        match = _LINE.match(line)
        indent = len(line) - len(line.lstrip())
        if indent == 0 and not line.startswith("-"):
            if match is None:
                raise SetupError(f"line {number}: expected key: value", field=str(path))
            depth, inner = 0, {}
            value = _scalar(match["value"] or "")
            found[_scalar(match["key"])] = value if match["value"] else inner
        elif match is not None and indent and depth in (0, indent):
            depth = indent
            inner[_scalar(match["key"])] = _scalar(match["value"] or "")
    return found


def _scalar(text: str) -> str:
    """Return a plain or quoted scalar without quotes and comment."""
    text = text.strip()
    if text[:1] == "'" and (end := text.find("'", 1)) > 0:
        return text[1:end]
    if text[:1] == '"':
        quoted = re.match(r'"((?:[^"\\]|\\.)*)"', text)
        if quoted:
            return re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), quoted[1])
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()
