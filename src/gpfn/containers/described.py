"""What func.yaml says of a function, as far as its image is concerned."""

from pathlib import Path
from typing import TYPE_CHECKING

from gpfn.containers.context import folder_in_context
from gpfn.containers.recipe import Recipe
from gpfn.errors import SetupError

if TYPE_CHECKING:
    from gpfn.invoke.target import Target

__all__ = ["default_tag", "described", "func_file", "next_command"]

_MODELS = (".tflite", ".onnx", ".pb")


def func_file(folder: Path) -> Path | None:
    """Return a folder's func.yaml, func.yml or func.json, whichever there is."""
    from gpfn.invoke.target import FUNC_FILES

    return next((folder / name for name in FUNC_FILES if (folder / name).is_file()), None)


def described(target: "Target | None", platform: str) -> tuple[str, str, str, str]:
    """Return name, version, folder in the build context, and for a model server the model."""
    from gpfn.invoke.funcyaml import read_func_file

    if target is None:
        return "", "", "", ""
    file = func_file(target.folder)
    values = read_func_file(file) if file else {}
    name, version = values.get("name", ""), values.get("version", "")
    model = _model_of(target.folder) if platform == "graphpipe" else ""
    folder = folder_in_context(target.folder)
    return str(name or target.folder.name).replace("/", "-"), str(version or ""), folder, model


def default_tag(target: "Target | None", platform: str, runtime: str = "litert") -> str:
    """Return what an image is called when nobody says: NAME-PLATFORM:VERSION, never latest."""
    from gpfn import __version__

    if target is None:
        return f"gpfn/{platform}:{__version__}-{runtime}"
    name, version, _, _ = described(target, "")
    return f"{name}-{platform}:{version or __version__}".lower()


def _model_of(folder: Path) -> str:
    """Return the file that the function predicts with, for a server to serve."""
    from gpfn.containers.loading import asked_models

    found = [name for name in asked_models(folder / "func.py") if name.endswith(_MODELS)]
    found += sorted(path.name for path in folder.iterdir() if path.suffix in _MODELS)
    if not found:
        raise SetupError("has no model that could be served", field=str(folder))
    return found[0]


def next_command(recipe: Recipe, tag: str, memory: int, engine: str = "docker") -> str:
    """Return what to type after the build, with that engine's command where one is needed."""
    name = recipe.name or "NAME"
    if recipe.platform in ("fn", "http") and not recipe.function:
        return f"gpfn build FOLDER --platform {recipe.platform} --on {tag}"
    if recipe.platform == "fn":
        return f"fn create function APP {name} {tag} --memory {memory or 128}"
    if recipe.platform == "openwhisk":
        file = "" if recipe.function else " FILE.py"
        return f"wsk action create {name}{file} --docker {tag} --memory {max(128, memory)}"
    port = 8080 if recipe.platform == "http" else 9000
    serves = recipe.platform == "http" or recipe.model
    return f"{engine} run --rm -p {port}:{port} {tag}" + ("" if serves else " --model FILE")
