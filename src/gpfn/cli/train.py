"""``gpfn train``: train one of the models that gpfn brings along, and export it.

The training code is in the checkout's ``training`` folder, where it can be read, changed and
run by itself, and an installed package has a copy; this command finds it and calls it.
"""

import argparse
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from gpfn.cli.ending import raise_at
from gpfn.cli.train_options import Training, Watched, add_watch
from gpfn.errors import MissingExtra, SetupError

if TYPE_CHECKING:
    from gpfn.retraining.child import Trained

__all__ = [
    "EXAMPLES",
    "SUMMARY",
    "TRAININGS",
    "add_arguments",
    "load_training",
    "locate",
    "run",
    "start",
    "train_files",
    "train_once",
]

SUMMARY = "train a small model, with plots and exports in every format"
EXAMPLES = """\
gpfn train forecast
gpfn train forecast --epochs 5 --out build/forecast
gpfn train forecast --hidden 50 --learning-rate 0.002 --seed 1 --json
gpfn train forecast --data sales.csv --column value --time month
gpfn train forecast --watch incoming --column value --push http://127.0.0.1:9000 --name sales
gpfn train digits
gpfn train images photos --out photos-model
gpfn train tabular data.csv --target kind --out flowers
gpfn train tabular --signal higgs.root --background top.root --mapping jets.toml
"""

TRAININGS = {
    "forecast": "gpfn.cli.train_forecast",
    "digits": "gpfn.cli.train_digits",
    "images": "gpfn.cli.train_images",
    "tabular": "gpfn.cli.train_tabular",
}
"""A model's name and the module that declares its options; the code is training/NAME.py."""

_WATCHING = ("push", "repository", "token", "once")
"""Options that do nothing for a single training: whoever gives one expects more of it."""

_COPY = Path(__file__).parent / "training"
_NEEDED = ("tensorflow", "onnxruntime", "tf2onnx", "matplotlib", "rich", "sklearn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one sub-command for each model that can be trained."""
    models = parser.add_subparsers(dest="model", required=True, metavar="MODEL")
    for name in TRAININGS:
        training = load_training(name)
        about = training.ABOUT
        one = models.add_parser(name, help=about, description=about)
        training.add_arguments(one)
        if training.WATCHED is not None:
            add_watch(one, training.WATCHED)


def load_training(name: str) -> Training:
    """Return the module that declares what can be chosen for a model."""
    return cast("Training", importlib.import_module(TRAININGS[name]))


def run(args: argparse.Namespace) -> int:
    """Train, and tell what came of it; or go on and train whenever files come."""
    watched = load_training(args.model).WATCHED if getattr(args, "watch", None) else None
    if watched is not None:
        from gpfn.cli.train_watch import watch

        _check_extra()
        return watch(args, watched, partial(train_files, args, watched))
    for option in _WATCHING:
        if getattr(args, option, None):
            raise SetupError("goes with --watch FOLDER", field=f"--{option}")
    raise_at(signal.SIGTERM)
    outcome = train_once(args)
    print(_as_json(outcome) if args.json else _as_text(outcome))
    return 0


def train_once(args: argparse.Namespace) -> Any:
    """Train as the arguments say, and return the script's Outcome.

    Raises MissingExtra, SetupError, and what the script raises.
    """
    script = args.script or locate(args.model)
    _check_extra()
    training = _load(script)
    args.out = args.out or _usual_out(args, script)
    chosen = {name: value for name, value in vars(args).items() if value is not None}
    fields = training.Settings.__dataclass_fields__
    with _made(args.out):
        return training.train(
            training.Settings(**{name: value for name, value in chosen.items() if name in fields})
        )


def train_files(
    args: argparse.Namespace, watched: Watched, files: Sequence[Path], out: Path
) -> "Trained":
    """Train once on what a watched folder has, in a process of its own.

    Raises as :func:`train_once`.
    """
    from gpfn.retraining.child import Trained

    given: Any = args.watch if watched.whole_folder else [*files]
    name = args.name or args.watch.resolve().name  # which a params.json may have to say
    more = {watched.argument: given, "out": out, "name": name}
    outcome = train_once(argparse.Namespace(**{**vars(args), **more}))
    return Trained(outcome.files[0].name, outcome.summary, outcome.facts.get("metrics") or {})


def _check_extra() -> None:
    """Raise MissingExtra unless what trainings need is installed."""
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "train")


def _usual_out(args: argparse.Namespace, script: Path) -> Path | None:
    """Return where results go that nobody has named a folder for; None leaves it to the script."""
    module = TRAININGS.get(args.model)
    watched = importlib.import_module(module).WATCHED if module else None
    given = getattr(args, watched.argument, None) if watched else None
    given = given or getattr(args, "signal", None)  # of a training on files of two kinds
    if given:
        first = given[0] if isinstance(given, list) else given
        return Path.cwd() / f"{first.resolve().stem}-{args.model}"
    return Path.cwd() / "models" if script.parent == _COPY else None  # not beside the package


@contextmanager
def _made(folder: Path | None) -> Iterator[None]:
    """Make the folder that is written to before the minutes that training takes.

    What was made goes again, empty as it is, when training fails. Raises SetupError.
    """
    if folder is None:
        yield
        return
    if str(folder).encode("utf-8", "replace") != os.fsencode(folder):
        told = "its name is no UTF-8, which TensorFlow does not write to; give another folder"
        raise SetupError(told, field="--out")
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"cannot make {folder}: {error.strerror}", field="--out") from error
    try:
        yield
    except BaseException:
        for path in absent:
            with suppress(OSError):  # somebody else has put something there
                path.rmdir()
        raise


def locate(model: str) -> Path:
    """Return the training script: below the working directory, in gpfn's checkout, or its copy.

    Raises SetupError when there is none.
    """
    name = f"{model}.py"
    places = (Path.cwd() / "training", Path(__file__).resolve().parents[3] / "training", _COPY)
    for place in places:
        if (place / name).is_file():
            return place / name
    raise SetupError(
        f"no {name} in {' or '.join(map(str, places))}: run this in a checkout of gpfn"
    )


def start(model: str, script: Path, argv: Sequence[str]) -> int:
    """Run the command with this very script: what ``python training/<model>.py`` does."""
    from gpfn.cli.main import main

    return main(["train", model, "--script", str(script), *argv])


def _load(script: Path) -> ModuleType:
    # The folder goes on the path because the scripts import their neighbours.
    sys.path.insert(0, str(script.resolve().parent))
    return importlib.import_module(script.stem)


def _as_json(outcome: Any) -> str:
    import orjson

    document = {
        **outcome.facts,
        "history": outcome.history,
        "files": [str(file) for file in outcome.files],
        "plots": [str(file) for file in outcome.plots],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def _as_text(outcome: Any) -> str:
    made = "\n".join(f"  {file}" for file in (*outcome.files, *outcome.plots))
    return f"{outcome.summary}\nwrote\n{made}"
