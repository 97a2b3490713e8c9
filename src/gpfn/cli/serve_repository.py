"""The options of ``gpfn serve`` that are about a repository of models."""

import argparse
from typing import TYPE_CHECKING

from gpfn.errors import SetupError
from gpfn.settings import parse_duration, parse_size, parse_whole

if TYPE_CHECKING:
    from gpfn.serving.repository.settings import RepositorySettings

__all__ = ["add_repository_arguments", "repository_settings"]

_MOST_OPEN = 48
"""With eight older versions of each, as many as are counted at once."""


def add_repository_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them, in a group of their own."""
    group = parser.add_argument_group("a repository, whose models are opened when asked for")
    flag = group.add_argument
    flag("--repository", default="", metavar="PLACE", help="a folder, made if need be, or an "
         "object store: s3://BUCKET/PREFIX (extra objects)")  # fmt: skip
    flag("--repository-cache", default="", metavar="FOLDER", help="where files of an object store "
         "are kept (default: the cache folder)")  # fmt: skip
    flag("--default", default="", metavar="MODEL", help="the model of rows that name none (the "
         "only one, if there is one)")  # fmt: skip
    flag("--max-open", default="32", metavar="N", help="models that are open at once (%(default)s)")
    flag("--max-upload", default="1GiB", metavar="SIZE", help="of one upload (%(default)s)")
    flag("--upload-time", default="1h", metavar="SECONDS", help="for it to come (%(default)s)")
    flag("--vet-memory", default="4GiB", metavar="SIZE", help="for the process that tries an "
         "uploaded model (%(default)s)")  # fmt: skip
    flag("--vet-time", default="60", metavar="SECONDS", help="for the same (%(default)s)")
    flag("--preload", action="store_true", help="open the models at the start")
    flag("--base-path", default="", metavar="/PATH", help="what a proxy leaves before all paths")
    flag("--rate", default="", metavar="N-S", help="requests of one client by TFaaS's paths: 100-S "
         "is a hundred a second; M, H and D are a minute, an hour, a day (no limit)")  # fmt: skip
    flag("--trash-days", default="30", metavar="N", help="that deleted versions stay (%(default)s)")
    flag("--audit-log", default="", metavar="FILE", help="who has changed what, as JSON lines "
         "(audit.jsonl in the folder)")  # fmt: skip


def repository_settings(args: argparse.Namespace) -> "RepositorySettings | None":
    """Return what they say, None without a repository. Raises SetupError, naming the option."""
    if not args.repository:
        return None
    from gpfn.serving.repository.rate import Rate
    from gpfn.serving.repository.settings import RepositorySettings, VetBounds

    if args.models_dir:
        told = "a folder of models and a repository: start a server for each"
        raise SetupError(told, field="--repository")
    base = args.base_path.rstrip("/")
    if base and not base.startswith("/"):
        base = f"/{base}"
    if args.rate:
        Rate.parse(args.rate)
    return RepositorySettings(
        place=args.repository,
        cache=args.repository_cache,
        max_open=parse_whole(args.max_open, field="--max-open", least=1, most=_MOST_OPEN),
        max_upload=parse_size(args.max_upload, field="--max-upload"),
        upload_seconds=parse_duration(args.upload_time, field="--upload-time"),
        vet=VetBounds(
            parse_size(args.vet_memory, field="--vet-memory"),
            parse_duration(args.vet_time, field="--vet-time"),
        ),
        default=args.default,
        preload=args.preload,
        base=base,
        rate=args.rate,
        audit=args.audit_log,
        trash_days=parse_whole(args.trash_days, field="--trash-days", most=36500),
    )
