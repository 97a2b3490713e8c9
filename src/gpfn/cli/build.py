"""``gpfn build``: the image of a function, for the platform that is to run it."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.cli.options import add_platform
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.build.recipe import Recipe
    from gpfn.hosts.engine import ContainerEngine
    from gpfn.hosts.target import Target

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "build the container image of a function, with its packages and its models"
EXAMPLES = """\
gpfn build functions/forecast --platform fn --print
gpfn build functions/classify --platform openwhisk --tag classify:1
gpfn build --platform server --runtime tensorflow --tag gpfn/server:0.1.0-tensorflow
gpfn build --platform fn --extra images --tag gpfn/fn:0.1.0-litert   # for functions/*/Dockerfile
gpfn build functions/forecast --platform http --base my/python:3.12 --sbom forecast.cdx.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from gpfn.build.recipe import BASE, RUNTIMES
    from gpfn.hosts.engine import ENGINES

    flag = parser.add_argument
    flag("function", nargs="?", help="a folder, a func.py or a func.yaml; a bare runtime without")
    add_platform(parser, "--platform", "image", "fn", "what runs it (default: fn)")
    flag("--runtime", choices=RUNTIMES, default="", help="what computes (default: what the "
         "function's model needs, else litert)")  # fmt: skip
    flag("--extra", action="append", default=[], help="an extra of gpfn, as requirements.txt "
         "names them (repeatable)")  # fmt: skip
    flag("--tag", help="the image's name (default: NAME-PLATFORM:VERSION of func.yaml)")
    flag(
        "--base", metavar="IMAGE", default=BASE, help="an image with Python (default: %(default)s)"
    )
    flag("--on", metavar="IMAGE", default="", help="put the function on this image of gpfn")
    flag("--file", metavar="DOCKERFILE", help="build by this file instead of the generated one")
    flag("--print", action="store_true", dest="show", help="print the Dockerfile and end")
    flag("--context", metavar="FOLDER", help="make the folder to build in, with the Dockerfile, "
         "and end")  # fmt: skip
    flag("--engine", choices=ENGINES, default="docker", help="(default: docker)")
    flag("--network", default="", help="the build's network, for instance host")
    flag("--no-cache", action="store_true", help="do every step again")
    flag("--sbom", metavar="FILE", help="where the list of packages goes, in CycloneDX (default: "
         "only in the image, /opt/gpfn/sbom.cdx.json)")  # fmt: skip
    flag("--json", action="store_true", help="the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Build, or print the Dockerfile; returns the exit code."""
    target = _target(args.function)
    recipe = _recipe(args, target)
    if args.show:
        print(recipe.dockerfile(), end="")
        return 0
    if args.context:
        return _save_context(args, recipe, target)
    from gpfn.build.recipe import check_image_name, default_tag, former_tag
    from gpfn.hosts.engine import ContainerEngine

    for option, word in (("--tag", args.tag), ("--network", args.network)):
        if word:
            check_image_name(word, option)
    engine = ContainerEngine(args.engine)
    _dockerfile(args.file, recipe)  # ends here when there is no such file
    engine.check()
    tag = args.tag or default_tag(target, args.platform, recipe.runtime)
    _build(engine, recipe, tag, target, args)
    former = "" if args.tag else former_tag(target, args.platform, recipe.runtime)
    if former:
        engine.run("tag", tag, former)
    if args.sbom:
        _save_sbom(engine, tag, Path(args.sbom))
    _tell(engine, recipe, tag, target, as_json=args.json)
    return 0


def _target(function: str | None) -> "Target | None":
    from gpfn.hosts.target import find_target

    return None if function is None else find_target(function)


def _recipe(args: argparse.Namespace, target: "Target | None") -> "Recipe":
    from gpfn.build.context import folder_in_context, is_context
    from gpfn.build.recipe import Recipe, name_and_version, served_model
    from gpfn.platforms.table import find_platform

    if target is None and args.on:
        raise SetupError("needs a function to put on that image", field="--on")
    image = find_platform(args.platform, "image").image
    serves = target is not None and image is not None and not image.takes_file
    name, version = name_and_version(target)
    model = served_model(target.folder) if target and serves else ""
    runtime, extras = _parts(args, target, model)
    return Recipe(
        platform=args.platform,
        function=folder_in_context(target.folder if target else None),
        runtime=runtime,
        base=args.base,
        extras=extras,
        model=model,
        name=name,
        version=version,
        on=args.on,
        given=args.function or "",
        elsewhere=not is_context(Path.cwd(), target.folder if target else None),
    )


def _parts(
    args: argparse.Namespace, target: "Target | None", model: str
) -> tuple[str, tuple[str, ...]]:
    """Return the image's runtime and extras; refuse a function that would lack something."""
    from gpfn.build.bake import check_models
    from gpfn.build.conflicts import check_conflicts, held_by_images, packed_gpfn, wanted_by_gpfn
    from gpfn.build.dependencies import requirements_of
    from gpfn.build.entry import names_of
    from gpfn.build.needs import (
        check_imports,
        image_packages,
        image_parts,
        needs_of,
        needs_of_model,
    )
    from gpfn.platforms.table import find_platform

    given = tuple(args.extra)
    if target is None or args.on or args.file:  # --on has its packages, a Dockerfile says its own
        return args.runtime or "litert", given
    read = requirements_of(target.folder)
    names_of(target.file)  # which says why, where it is no Python
    itself = model in ("", target.file.name)  # a model is served without its function
    needs = needs_of(target.file) if itself else needs_of_model(model)
    runtime, extras = image_parts(needs, read, args.runtime, given)
    image = find_platform(args.platform, "image").image
    own = image.extras if image is not None else ()
    check_models(needs.models, target.folder)
    check_imports(needs, read, image_packages(runtime, {*extras, *own, *read.extras}))
    ours = [packed_gpfn(), *wanted_by_gpfn(read, needs), *held_by_images(read)]
    check_conflicts(read, ours)
    return runtime, extras


def _dockerfile(file: str | None, recipe: "Recipe") -> str:
    if file is None:
        return recipe.dockerfile()
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise SetupError(f"no such Dockerfile: {error.strerror}", field=file) from error


def _build(
    engine: "ContainerEngine",
    recipe: "Recipe",
    tag: str,
    target: "Target | None",
    args: argparse.Namespace,
) -> None:
    from gpfn.build.context import staged
    from gpfn.build.image import check_runtime
    from gpfn.build.needs import needs_of
    from gpfn.cli.progress import DownloadProgress
    from gpfn.hosts.engine import Build

    if recipe.on and target is not None:
        check_runtime(engine, recipe.on, needs_of(target.file).runtimes)
    arguments = {} if recipe.on else {"BASE": recipe.base}
    if not args.file:
        arguments |= {"NAME": recipe.name, "VERSION": recipe.version}
    mirror = os.environ.get("GPFN_MODEL_MIRROR", "")
    if "://" in mirror:
        arguments["GPFN_MODEL_MIRROR"] = mirror
    with staged(target.folder if target else None, DownloadProgress()) as context:
        place = context / recipe.function if recipe.on else context
        cache = "" if recipe.on or args.file else f"gpfn/cache:{recipe.platform}-{recipe.runtime}"
        text = _dockerfile(args.file, recipe)
        engine.build(Build(text, place, tag, arguments, args.network, not args.no_cache, cache))


def _save_context(args: argparse.Namespace, recipe: "Recipe", target: "Target | None") -> int:
    """Write what an engine builds from, wherever gpfn was installed from."""
    import shlex
    import shutil

    from gpfn.build.context import staged
    from gpfn.build.recipe import default_tag
    from gpfn.cli.progress import DownloadProgress

    folder = Path(args.context)
    with staged(target.folder if target else None, DownloadProgress()) as context:
        place = context / recipe.function if recipe.on else context
        (place / "Dockerfile").write_text(_dockerfile(args.file, recipe), encoding="utf-8")
        try:
            shutil.copytree(place, folder)
        except OSError as error:
            raise SetupError(
                f"cannot be made: {error.strerror or error}", field=str(folder)
            ) from None
    tag = args.tag or default_tag(target, args.platform, recipe.runtime)
    named = [("NAME", recipe.name), ("VERSION", recipe.version)]
    words = [args.engine, "build", "--tag", tag]
    words += [f"--build-arg={name}={value}" for name, value in named if value]
    print(f"made {folder}; next: {shlex.join([*words, str(folder)])}")
    return 0


def _save_sbom(engine: "ContainerEngine", tag: str, file: Path) -> None:
    from gpfn.build.image import sbom_of

    text = sbom_of(engine, tag)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot be written: {error.strerror}", field=str(file)) from error


def _tell(
    engine: "ContainerEngine", recipe: "Recipe", tag: str, target: "Target | None", *, as_json: bool
) -> None:
    import json

    from gpfn.build.image import layers
    from gpfn.build.recipe import next_command
    from gpfn.cli.progress import size_text
    from gpfn.cli.table import print_table

    rows = layers(engine, tag)
    following = next_command(recipe, tag, target.memory if target else 0, engine.name)
    if as_json:
        sizes = [{"made_by": row.made_by, "size": row.size} for row in rows]
        print(json.dumps({"image": tag, "layers": sizes, "next": following}, indent=2))
        return
    cells = [(size_text(row.size), row.made_by) for row in rows]
    cells.append((size_text(sum(row.size for row in rows)), "in all"))
    print_table(cells, right=(0,), stream=sys.stderr)
    print(f"built {tag}; next: {following}")
