"""The steps of a build: from locks, the package and the function to /opt/gpfn and /function.

``python3 -m stage STEP`` does one: ``dependencies``, ``package``, ``function``, ``finish``,
in this order.
"""

import argparse
import ast
import compileall
import os
import shutil
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from .installed import CACHE, compile_all, forget_installation, needs_cache, strip
from .layout import (
    CONTEXT,
    FUNCTION,
    HOME,
    IMAGE,
    LOCKS,
    MARK,
    TOOLS,
    Failed,
    pip,
    run,
    site_packages,
)
from .lock import CORE, EXTRAS, RUNTIMES, constraints, select
from .requirements import NAME, Requirements, read_requirements

__all__ = ["dependencies", "finish", "function", "main", "package"]

_LEFT_OUT = (
    "__pycache__",
    ".*",
    "*.md",
    "*.pyc",
    "Dockerfile*",
    "requirements.txt",
)
_SMALL_START = """#!{python}
import sys
{prefix}from gpfn.cli.main import main
sys.exit(main())
"""


def dependencies(runtime: str) -> None:
    """Make the environments, and install what every platform needs with this runtime."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the base image may have any
        raise Failed(f"the base image has Python {sys.version.split()[0]}, gpfn needs 3.11")
    if runtime not in RUNTIMES:
        raise Failed(f"no runtime {runtime!r}; there are {', '.join(RUNTIMES)}")
    venv.create(HOME, symlinks=True, with_pip=False)
    run([sys.executable, "-m", "venv", str(TOOLS)], "cannot make a virtual environment")
    for name in ("build", "sbom"):
        _locked((LOCKS / f"{name}.lock").read_text(), python=TOOLS / "bin" / "python")
    compileall.compile_dir(TOOLS, maxlevels=30, quiet=2)  # they run at every build
    _from_lock((*CORE, *RUNTIMES[runtime]))
    strip(site_packages())


def package() -> None:
    """Install gpfn: a wheel that lies in the context, or one that is built from its sources."""
    wheels = sorted((CONTEXT / "dist").glob("gpfn-*.whl"))
    if not wheels:
        if not (CONTEXT / "pyproject.toml").is_file():
            raise Failed("the build context has neither gpfn's sources nor a wheel of it")
        build = [str(TOOLS / "bin" / "python"), "-m", "hatchling", "build", "-t", "wheel"]
        os.chdir(CONTEXT)
        (CONTEXT / "training").mkdir(exist_ok=True)  # the wheel has it, no image needs it
        run([*build, "-d", "/build/dist"], "cannot build gpfn's wheel")
        wheels = sorted(Path("/build/dist").glob("gpfn-*.whl"))
    pip("--no-deps", "--no-index", str(wheels[-1]), doing="cannot install gpfn")
    strip(site_packages())


def function(folder: str, extras: str) -> None:
    """Copy the function, install what it needs, and put its models beside it.

    ``extras`` are those of gpfn that the platform has and those that a user names, with commas.
    """
    FUNCTION.mkdir(exist_ok=True)
    source = CONTEXT / folder
    read = Requirements({})
    if folder:
        if not (source / "func.py").is_file():
            raise Failed(f"{folder} in the build context has no func.py")
        ignored = shutil.ignore_patterns(*_LEFT_OUT)
        shutil.copytree(source, FUNCTION, ignore=ignored, dirs_exist_ok=True)
        read = read_requirements(source)
    wanted = {*filter(None, extras.split(",")), *read.extras} - {"fdk"}
    if unknown := wanted - set(EXTRAS):
        raise Failed(f"gpfn has no extra {', '.join(sorted(unknown))} that works in an image")
    _from_lock([name for extra in wanted for name in EXTRAS[extra]])
    _unlocked(read, source)
    strip(site_packages())
    if folder:
        bake = [str(HOME / "bin" / "python"), "-m", "gpfn.build.bake", str(FUNCTION)]
        run(bake, "the function is not complete")


def finish(epoch: int) -> None:
    """Write the SBOM, compile, and give every file the same time and plain permissions."""
    forget_installation(site_packages())
    _sbom()
    for script in (HOME / "bin").iterdir():  # what packages would put on a user's PATH
        if not script.name.startswith("python"):
            script.unlink()
    compile_all(site_packages(), FUNCTION)
    prefix = f"sys.pycache_prefix = {str(CACHE)!r}\n" if needs_cache() else ""
    launcher = HOME / "bin" / "gpfn"
    launcher.write_text(_SMALL_START.format(python=HOME / "bin" / "python", prefix=prefix))
    launcher.chmod(0o755)
    for layer, top in (("gpfn", HOME), ("function", FUNCTION)):
        _lay_out(IMAGE / layer, top, epoch)


def _lay_out(layer: Path, top: Path, epoch: int) -> None:
    """Copy a folder to its place below ``layer``, whose folders have the time ``epoch`` too.

    The image's COPY takes a layer as a whole: the folders that it made itself would have
    the time of the build.
    """
    shutil.copytree(top, layer / top.relative_to("/"), symlinks=True)
    for path in sorted(layer.rglob("*"), reverse=True):
        _normalise(path, epoch)


def _uses_fdk(source: Path) -> bool:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in source.rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    names = (
        [alias.name for alias in node.names]
        if isinstance(node, ast.Import)
        else [node.module or ""]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    return any(name.split(".")[0] == "fdk" for group in names for name in group)


def _from_lock(names: Iterable[str]) -> None:
    chosen = select((LOCKS / "all.lock").read_text(), names)
    if chosen:
        _locked(chosen, "--no-deps")


def _locked(entries: str, *options: str, python: Path = HOME / "bin" / "python") -> None:
    file = Path("/build/chosen.lock")
    file.write_text(entries)
    arguments = (*options, "--only-binary=:all:", "--require-hashes", "-r", str(file))
    pip(*arguments, python=python, doing="cannot install what the locks name")


def _unlocked(read: Requirements, source: Path) -> None:
    """Install a function's own requirements, in our versions unless they pin another.

    Fn's own FDK is left out unless the function imports it: gpfn takes its place. The files
    lie to each other as they did; other paths in them are the function's.
    """
    left_out = {"gpfn"} if _uses_fdk(source) else {"gpfn", "fdk"}
    if all(line.name in left_out for line in read.lines):
        return
    wanted, ours = Path("/build/wanted"), Path("/build/ours.txt")
    for path, data in read.without(left_out).items():
        (wanted / path).parent.mkdir(parents=True, exist_ok=True)
        (wanted / path).write_bytes(data)
    ours.write_text(constraints((LOCKS / "all.lock").read_text(), read.pinned))
    os.chdir(source)
    doing = "cannot install requirements.txt"
    pip("-c", str(ours), "-r", str(wanted / NAME), doing=doing)


def _sbom() -> None:
    tool = [str(TOOLS / "bin" / "cyclonedx-py"), "environment", "--output-reproducible"]
    target = HOME / "sbom.cdx.json"
    python = str(HOME / "bin" / "python")
    run([*tool, "--output-file", str(target), python], "cannot write the list of packages")


def _normalise(path: Path, epoch: int) -> None:
    if not path.is_symlink():
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    os.utime(path, (epoch, epoch), follow_symlinks=False)


def main() -> int:
    """Do one step; what is wrong is the last line of the output."""
    parser = argparse.ArgumentParser(prog="stage")
    steps = parser.add_subparsers(dest="step", required=True)
    first = steps.add_parser("dependencies")
    first.add_argument("runtime")
    steps.add_parser("package")
    third = steps.add_parser("function")
    third.add_argument("folder")
    third.add_argument("extras")
    steps.add_parser("finish").add_argument("epoch", type=int)
    args = parser.parse_args()
    try:
        if args.step == "dependencies":
            dependencies(args.runtime)
        elif args.step == "package":
            package()
        elif args.step == "function":
            function(args.folder, args.extras)
        else:
            finish(args.epoch)
    except Failed as error:
        print(f"{MARK}{' '.join(str(error).split())}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
