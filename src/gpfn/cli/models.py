"""``gpfn models``: the catalogue, any model on this machine, and the models of a repository."""

import argparse
from pathlib import Path
from typing import Any

from gpfn.cli.options import add_signature
from gpfn.errors import SetupError

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "list, fetch, inspect and publish models"
EXAMPLES = """
gpfn models list
gpfn models pull mobilenet_v1
gpfn models add flowers/model.toml --catalogue models.toml
gpfn models show models/forecast.tflite
gpfn models show models/forecast.tflite --timing
gpfn models show http://127.0.0.1:9000
gpfn models show https://example.com/model.tflite
gpfn models backends
gpfn models push models/digits.tflite --to http://127.0.0.1:9000 --tag stable
gpfn models list --url http://127.0.0.1:9000
gpfn models show digits --url http://127.0.0.1:9000
gpfn models tag digits@2 stable --url http://127.0.0.1:9000
gpfn models rollback digits --url http://127.0.0.1:9000
gpfn models pull http://127.0.0.1:9000/digits@stable --output digits
gpfn models import /var/tfaas/models --repository models.d
gpfn models gc --repository models.d --trash-days 7
"""

_Actions = Any  # what add_subparsers returns has no public name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare a sub-command for each thing to do."""
    json_flag = argparse.ArgumentParser(add_help=False)
    json_flag.add_argument("--json", action="store_true", help="print JSON instead of text")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_local(actions, json_flag)
    _add_remote(actions, json_flag)
    _add_store(actions, json_flag)


def _add_local(actions: _Actions, json_flag: argparse.ArgumentParser) -> None:
    url = _asking("--url", "a repository's, instead of the catalogue", required=False)
    listed = "the models of the catalogue, or of a repository"
    actions.add_parser("list", help=listed, description=listed, parents=[json_flag, url])
    about = "fetch models to this machine"
    pull = actions.add_parser("pull", help=about, description=about, parents=[json_flag])
    pull.add_argument("names", nargs="+", metavar="NAME", help="a name of the catalogue, or "
                      "URL/NAME or URL/NAME@TAG of a repository")  # fmt: skip
    pull.add_argument("--output", type=Path, metavar="FOLDER", help="where a repository's model "
                      "is put (default: NAME)")  # fmt: skip
    pull.add_argument("--token", default="", help=_TOKEN)
    about = "inputs, outputs, backend and size; with --url, versions and tags"
    show = actions.add_parser("show", help=about, description=about, parents=[json_flag, url])
    show.add_argument("model", metavar="MODEL", help="a file, a folder, a URL or a name")
    add_signature(show)
    show.add_argument("--vet", action="store_true", help="try it in a process of its own first")
    show.add_argument("--timing", action="store_true", help="time batches of it, and say how "
                      "gpfn serve would compute them")  # fmt: skip
    about = "put a model that a model.toml describes into a catalogue of your own"
    add = actions.add_parser("add", help=about, description=about, parents=[json_flag])
    add.add_argument("description", type=Path, metavar="MODEL.TOML", help="or the folder with one")
    add.add_argument("--catalogue", default="", metavar="FILE", help="which is made when it is "
                     "absent (default: $GPFN_CATALOGUE)")  # fmt: skip
    add.add_argument("--name", default="", help="what it is called there (default: as the file)")
    add.add_argument("--replace", action="store_true", help="put it in the place of one that is "
                     "called so")  # fmt: skip
    actions.add_parser("backends", help="what can be opened, and by what", parents=[json_flag])


def _add_remote(actions: _Actions, json_flag: argparse.ArgumentParser) -> None:
    to, url = _asking("--to", "the repository's"), _asking("--url", "the repository's")
    about = "make a version of a model in a repository; what it has is not sent again"
    push = actions.add_parser("push", help=about, description=about, parents=[json_flag, to])
    push.add_argument("path", type=Path, metavar="PATH", help="a model's file or folder")
    push.add_argument("--name", default="", help="what it is called there (default: as the file)")
    push.add_argument("--tag", default="", help="a tag that is to lead to the new version")
    push.add_argument("--labels", type=Path, metavar="FILE", help="its classes, one a line")
    push.add_argument("--params", type=Path, metavar="FILE", help="a params.json of TFaaS")

    def add(name: str, about: str, reference: str) -> argparse.ArgumentParser:
        parents = [json_flag, url]
        made = actions.add_parser(name, help=about, description=about, parents=parents)
        made.add_argument("model", metavar=reference, help="a version is a number or a tag")
        return made  # type: ignore[no-any-return]

    tag = add("tag", "let a tag lead to a version (default: the latest)", "NAME[@VERSION]")
    tag.add_argument("tag", metavar="TAG", help="such as stable")
    tag.add_argument("--drop", action="store_true", help="take the tag away instead")
    rollback = add("rollback", "move the newest version to the trash, so that the one before is "
                   "served again; or a tag to where it led before", "NAME")  # fmt: skip
    rollback.add_argument("--tag", default="", help="roll this tag back, and delete nothing")
    add("delete", "move a version to the trash, or a whole model", "NAME[@VERSION]")
    add("restore", "take a version out of the trash", "NAME@VERSION")


def _add_store(actions: _Actions, json_flag: argparse.ArgumentParser) -> None:
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--repository", required=True, metavar="PLACE", help="as gpfn serve has it: "
                       "a folder, or s3://BUCKET/PREFIX")  # fmt: skip
    about = "make versions of the models of a folder, as TFaaS or TF Serving keeps them"
    taken = actions.add_parser("import", help=about, description=about, parents=[json_flag, place])
    taken.add_argument("folder", type=Path, metavar="FOLDER", help="NAME/… or NAME/VERSION/…")
    about = "remove for good what has been in the trash for long enough"
    swept = actions.add_parser("gc", help=about, description=about, parents=[json_flag, place])
    swept.add_argument("--trash-days", default="30", metavar="N", help="(default: %(default)s)")


_TOKEN = "a token of the server (default: $GPFN_TOKEN)"  # noqa: S105 - help, no token


def _asking(option: str, whose: str, *, required: bool = True) -> argparse.ArgumentParser:
    """Return the options that say which server is asked."""
    parent = argparse.ArgumentParser(add_help=False)
    address = f"{whose} URL, such as http://127.0.0.1:9000"
    parent.add_argument(
        option, dest="url", metavar="URL", default="", required=required, help=address
    )
    parent.add_argument("--token", default="", help=_TOKEN)
    return parent


def run(args: argparse.Namespace) -> int:
    """Do one of them."""
    found = _done(args)
    if args.json:
        import orjson

        from gpfn import json_exact

        print(json_exact.dumps(found, option=orjson.OPT_INDENT_2).decode())
    return 0


def _done(args: argparse.Namespace) -> Any:
    if args.action == "pull":
        return _pull(args)
    if args.action in ("add", "backends") or (args.action == "list" and not args.url):
        from gpfn.cli import model_catalogue

        return model_catalogue.ACTIONS[args.action](args)
    if args.action == "show" and not args.url:
        from gpfn.cli.model_inspection import show_model

        return show_model(args)
    if args.action in ("import", "gc"):
        from gpfn.cli import model_store

        stored = {"import": model_store.import_models, "gc": model_store.collect_trash}
        return stored[args.action](args)
    from gpfn.cli import model_repository

    return model_repository.ACTIONS[args.action](args)


def _pull(args: argparse.Namespace) -> list[dict[str, Any]]:
    from gpfn.cli.model_catalogue import pull_catalogue
    from gpfn.cli.model_repository import pull_model
    from gpfn.cli.resolve import is_address

    remote = [name for name in args.names if is_address(name)]
    if args.output and len(args.names) > 1:
        raise SetupError("one folder is for one model", field="--output")
    if args.output and not remote:
        raise SetupError(
            "is for URL/NAME; a name of the catalogue goes to the cache", field="--output"
        )
    pulled = []
    for name in args.names:
        if name in remote:
            pulled += pull_model(name, args.output, token=args.token, as_json=args.json)
        else:
            pulled += pull_catalogue([name], as_json=args.json)
    return pulled
