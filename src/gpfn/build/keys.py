"""Whether somebody has written a key into a function's files; what it is, is never told.

Two things count: a text in the form that a service gives its keys, wherever it stands, and a
text under a name such as ``password`` or ``API_KEY``.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from gpfn.build.imports import parsed_files
from gpfn.errors import SetupError
from gpfn.secrets import secrets_folder

__all__ = ["keys_in_code", "keys_in_config", "keys_in_lines", "refuse_secrets", "secrets_inside"]

_FORMS = re.compile(
    r"AKIA[0-9A-Z]{16}"  # Amazon
    r"|gh[opsu]_[A-Za-z0-9]{36}|github_pat_\w{30,}|glpat-[\w-]{20}"
    r"|xox[abprs]-[\w-]{10,}"  # Slack
    r"|AIza[\w-]{35}"  # Google
    r"|\bhf_[A-Za-z0-9]{30,}|\bsk-[\w-]{20,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"  # a JSON Web Token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|://[^/\s:@$]+:[^/\s@$]+@"  # an address with a password
)
_NAMES = re.compile(
    r"(?:^|[_.-])(?:pass(?:word|wd|phrase)?|secret|token|api_?key|access_?key|private_?key"
    r"|credentials?|auth_?key)$",
    re.IGNORECASE,
)
_ELSEWHERE = ("secret:", "env:", "file:")
_LEAST = 6
_MOST_BYTES = 1 << 20


def keys_in_config(config: Mapping[str, str]) -> Iterator[str]:
    """Yield the variables of func.yaml whose values look like keys."""
    yield from (name for name, value in config.items() if _is_key(name, value))


def keys_in_code(file: Path) -> Iterator[str]:
    """Yield the places of texts in a function's code and its neighbours' that look like keys."""
    for path, tree in parsed_files(file):
        lines = {
            node.lineno
            for name, node in _named(tree)
            if isinstance(node.value, str) and _is_key(name, node.value)
        }
        yield from (f"{path.relative_to(file.parent)}:{line}" for line in sorted(lines))


def keys_in_lines(file: Path) -> Iterator[str]:
    """Yield the places of lines that have a key in them; nothing for a file that is not there."""
    if not file.is_file():  # a pipe may never end
        return
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return  # a file that cannot be read shows no key
    for number, line in enumerate(text.splitlines(), 1):
        name, _, value = line.removeprefix("ENV ").removeprefix("ARG ").partition("=")
        if _FORMS.search(line) or (line != name + value and _is_key(name.strip(), value.strip())):
            yield f"{file.name}:{number}"


def secrets_inside(folder: Path) -> str:
    """Return what is wrong when secrets lie where an image or a zip would take them along."""
    place = Path(secrets_folder()).resolve()
    if not place.is_relative_to(folder.resolve()):
        return ""
    return f"GPFN_SECRETS_DIR: {place.name} is in the function's folder, and would be in its image"


def refuse_secrets(folder: Path) -> None:
    """Raise SetupError when the folder of secrets lies in a function's."""
    if told := secrets_inside(folder).removeprefix("GPFN_SECRETS_DIR: "):
        raise SetupError(told, field="GPFN_SECRETS_DIR")


def _is_key(name: str, value: str) -> bool:
    if value.startswith(_ELSEWHERE) or "${" in value:
        return False
    named = _NAMES.search(name) and len(value) >= _LEAST and not any(map(str.isspace, value))
    return bool(named or _FORMS.search(value))


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.Constant]]:
    """Yield every constant with the name that it is given to, empty for the others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                name = getattr(target, "id", getattr(target, "attr", ""))
                yield from _constant(str(name), node.value)
        elif isinstance(node, ast.AnnAssign):
            yield from _constant(str(getattr(node.target, "id", "")), node.value)
        elif isinstance(node, ast.keyword):
            yield from _constant(node.arg or "", node.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant):
                    yield from _constant(str(key.value), value)
        elif isinstance(node, ast.Constant):
            yield "", node


def _constant(name: str, node: ast.expr | None) -> Iterator[tuple[str, ast.Constant]]:
    if isinstance(node, ast.Constant):
        yield name, node
