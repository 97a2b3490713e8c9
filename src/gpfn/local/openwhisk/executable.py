"""From a client's ``exec`` to what an action runs.

Source: Exec.scala and ExecManifest.scala. The kinds are the platform's for Python and Node.js;
whichever is asked for, the interpreter of ``gpfn dev`` runs it, or the ``node`` of this machine.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gpfn.local.openwhisk.limits import check_code_size
from gpfn.local.openwhisk.naming import read_ref
from gpfn.local.openwhisk.records import WhiskExec
from gpfn.local.openwhisk.refusing import malformed

__all__ = ["CODE_KINDS", "DEFAULT_KINDS", "KINDS", "GivenExec", "is_binary", "read_exec"]

_PYTHON = ("python:3", "python:3.9", "python:3.10", "python:3.11", "python:3.12")
_NODE = ("nodejs:18", "nodejs:20")
CODE_KINDS = {"python": _PYTHON, "nodejs": _NODE}
"""What runs code, by its language."""
DEFAULT_KINDS = {"python:default": "python:3.10", "nodejs:default": "nodejs:20"}
"""The platform's own default versions (runtimes.json)."""
KINDS = (*_PYTHON, *_NODE, "blackbox", "sequence")

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:_|\.|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?"
    rf"{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z0-9+._-]+:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
_LONGEST_IMAGE = 512


class GivenExec(NamedTuple):
    """What a client gives an action to run, and the code; "" without any."""

    exec: WhiskExec
    code: str = ""


def is_binary(code: str) -> bool:
    """Say whether code is taken for base64: by its look alone, as the platform does."""
    text = code.strip()
    return len(text) % 4 == 0 and _BASE64.fullmatch(text) is not None


def read_exec(value: Any) -> GivenExec | None:
    """Return what a client gives, None for nothing. Raises WhiskRefusal (400, 413)."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise malformed("JSON object expected")
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise malformed("'kind' must be a string defined in 'exec'")
    kind = kind.strip().lower()
    if kind == "sequence":
        return _sequence(value)
    given = _blackbox(value) if kind == "blackbox" else _of_code(value, kind)
    check_code_size(given.code, given.exec.main + given.exec.image)
    return given


def _main(value: dict[str, Any], kind: str) -> str:
    main = value.get("main", "")
    if not isinstance(main, str):
        raise malformed(f"if defined, 'main' be a string in 'exec' for '{kind}' actions")
    return main


def _sequence(value: dict[str, Any]) -> GivenExec:
    components = value.get("components")
    if components is None and "components" not in value:
        raise malformed("'components' must be defined for sequence kind")
    if not isinstance(components, list):
        raise malformed("'components' must be an array")
    try:
        refs = tuple(map(read_ref, components))
    except ValueError as error:
        raise malformed(str(error)) from None
    return GivenExec(WhiskExec("sequence", components=refs))


def _blackbox(value: dict[str, Any]) -> GivenExec:
    image, code = value.get("image"), value.get("code", "")
    if not isinstance(image, str):
        raise malformed("'image' must be a string defined in 'exec' for 'blackbox' actions")
    if len(image) > _LONGEST_IMAGE or _IMAGE.fullmatch(image) is None:
        raise malformed("could not parse image name")
    if not isinstance(code, str):
        raise malformed("'code' must be a string in 'exec' for 'blackbox' actions")
    code = code if code.strip() else ""
    main = _main(value, "blackbox")
    return GivenExec(WhiskExec("blackbox", image, main, bool(code), is_binary(code)), code)


def _of_code(value: dict[str, Any], kind: str) -> GivenExec:
    main, known = _main(value, kind), DEFAULT_KINDS.get(kind, kind)
    if known not in (*_PYTHON, *_NODE):
        kinds = ", ".join(f"'{each}'" for each in KINDS)
        said = f"The specified runtime '{kind:.99}' is not supported by this platform."
        raise malformed(f"{said} Valid values are: {kinds}.")
    code = value.get("code")
    if not isinstance(code, str):
        must = "'code' must be a string or attachment object defined in"
        raise malformed(f"{must} 'exec' for '{kind}' actions")
    return GivenExec(WhiskExec(known, "", main, True, is_binary(code)), code)
