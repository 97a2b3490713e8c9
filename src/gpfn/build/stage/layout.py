"""Where things lie in the build stage, and how a step fails."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "CONTEXT",
    "FUNCTION",
    "HOME",
    "IMAGE",
    "LOCKS",
    "MARK",
    "TOOLS",
    "Failed",
    "pip",
    "run",
    "site_packages",
]

HOME = Path("/opt/gpfn")
"""The image's virtual environment."""
FUNCTION = Path("/function")
IMAGE = Path("/image")
"""The finished layers: what lies below ``/image/NAME`` is copied to the image's root."""
TOOLS = Path("/build/tools")
"""A second environment: pip, the build backend and the SBOM's tool. It stays behind."""
LOCKS = Path("/build/locks")
CONTEXT = Path("/build/context")

MARK = "gpfn build: "
"""What the line begins with that says why a step failed; the engine's output has it."""


class Failed(Exception):
    """A step cannot be done; the text says why in one line."""


def run(command: Sequence[str], doing: str) -> str:
    """Run a program and return what it wrote; its output is shown as it is."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    sys.stdout.write(text)
    if done.returncode:
        raise Failed(f"{doing}: {_reason(text) or f'exit code {done.returncode}'}")
    return text


def pip(*arguments: str, python: Path = HOME / "bin" / "python", doing: str) -> None:
    """Run the tools' pip for an environment."""
    quiet = ("--disable-pip-version-check", "--no-input", "--no-cache-dir", "--quiet")
    command = [str(TOOLS / "bin" / "python"), "-m", "pip", "--python", str(python), *quiet]
    run([*command, "install", "--no-compile", "--no-warn-script-location", *arguments], doing)


def site_packages() -> Path:
    """Return the environment's folder of packages."""
    return HOME / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    conflict = [line for line in lines if " depends on " in line or "Cannot install" in line]
    if any("ResolutionImpossible" in line for line in lines):
        return f"the requirements conflict: {'; '.join(conflict[:3])}".replace("ERROR: ", "")
    errors = [line for line in lines if line.startswith(("ERROR", "error", "gpfn:", MARK))]
    return next(iter(errors or lines[-1:]), "").removeprefix("ERROR: ").removeprefix(MARK)
