"""``gpfn config``: every setting with its value, where that comes from, and its default."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = ["DEFAULTS", "EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY = "every setting with its value, its source and its default"
EXAMPLES = """
gpfn config
gpfn config functions/forecast --set
gpfn config --json
"""

DEFAULTS: Mapping[str, str] = {
    "GPFN_BODY_TIMEOUT": "60",
    "GPFN_CACHE_DIR": "~/.cache/gpfn",
    "GPFN_CATALOGUE": "",
    "GPFN_DOWNLOAD_BYTES": "16 MiB",
    "GPFN_DOWNLOAD_CACHE": "",
    "GPFN_DOWNLOAD_CACHE_BYTES": "256 MiB",
    "GPFN_DOWNLOAD_HOSTS": "",
    "GPFN_DOWNLOAD_PARALLEL": "16",
    "GPFN_DOWNLOAD_PER_HOST": "6",
    "GPFN_DOWNLOAD_PORTS": "80,443",
    "GPFN_DOWNLOAD_SECONDS": "5",
    "GPFN_ERROR_EVENTS": "off",
    "GPFN_EXTENSIONS": "",
    "GPFN_HEAD_TIMEOUT": "10",
    "GPFN_HEALTH_URL": "the image's own",
    "GPFN_IDLE_TIMEOUT": "75",
    "GPFN_IMAGE_INPUT": "the function's own",
    "GPFN_IMAGE_URLS": "off",
    "GPFN_LOG": "text",
    "GPFN_MAX_BATCH": "1000",
    "GPFN_MAX_BODY_BYTES": "6 MiB; OpenWhisk 1 MiB; gpfn serve 512 MiB",
    "GPFN_MAX_CALL_BYTES": "half of the container's memory, at most 1 GiB",
    "GPFN_MAX_CODE_BYTES": "512 MiB",
    "GPFN_MAX_CONNECTIONS": "4096",
    "GPFN_MAX_ELEMENTS": "16 Mi; gpfn serve 128 Mi",
    "GPFN_MAX_HEADERS": "200",
    "GPFN_MAX_HEADER_BYTES": "64 KiB",
    "GPFN_MAX_INFLIGHT_BYTES": "256 MiB, at least two of the largest bodies",
    "GPFN_MAX_MODEL_BYTES": "4 GiB",
    "GPFN_MAX_PIXELS": "24,000,000",
    "GPFN_MAX_RANK": "16",
    "GPFN_MAX_RESULT_BYTES": "1 MiB",
    "GPFN_MAX_ROWS": "100,000",
    "GPFN_MAX_STRING_BYTES": "4 MiB; gpfn serve: 64 MiB",
    "GPFN_MAX_TENSORS": "64",
    "GPFN_MODEL_CACHE_BYTES": "2 GiB",
    "GPFN_MODEL_CACHE_COUNT": "16",
    "GPFN_MODEL_MIRROR": "",
    "GPFN_NAME": "the file's folder",
    "GPFN_QUEUE": "512",
    "GPFN_REQUEST_TIMEOUT": "30",
    "GPFN_SECRETS_DIR": "/run/secrets",
    "GPFN_START_WINDOW": "4",
    "GPFN_THREADS": "0: processors + 4",
    "GPFN_TOKEN": "",
}
"""What holds for a variable that is not set, in the words of docs/settings.md."""

_OURS = "GPFN_"
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "_KEY")
_PLACES = ("GPFN_SECRETS_DIR",)
"""Names that say of a secret where it is."""
_HEAD = ("SETTING", "VALUE", "SOURCE", "DEFAULT")


class _Row(NamedTuple):
    """A setting; ``value`` is None when it is not set, and ``wrong`` says what is wrong with it."""

    name: str
    value: str | None
    source: str
    default: str = ""
    wrong: str = ""

    @property
    def shown(self) -> str:
        """The value as it may be seen: of a secret that there is one, of an address no password."""
        where = self.name in _PLACES or (self.value or "").startswith("secret:")
        if self.value is None or where:
            return self.value or ""
        from gpfn.build.keys import keys_in_config

        named = any(word in self.name.upper() for word in _SECRET)
        if named or (any(keys_in_config({self.name: self.value})) and "://" not in self.value):
            return "set"
        if "://" in self.value:
            from gpfn.http.address import shown_url

            return shown_url(self.value)
        return self.value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the function whose settings are told, and the form."""
    parser.add_argument("function", nargs="?", metavar="FUNCTION", help="a folder, a func.py or a "
                        "func.yaml, whose config counts too")  # fmt: skip
    parser.add_argument("--set", action="store_true", help="only what is set")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the settings; 1 when one of them is wrong, which is told on stderr."""
    config: Mapping[str, str] = {}
    if args.function is not None:
        from gpfn.hosts.target import find_target

        config = find_target(args.function).config
    rows = [row for row in _rows(config) if row.value is not None or not args.set]
    if args.json:
        print(json.dumps([_document(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        from gpfn.cli.table import print_table

        print_table([(row.name, row.shown, row.source, row.default) for row in rows], _HEAD)
    for row in rows:
        if row.wrong:
            print(f"gpfn: {row.wrong}", file=sys.stderr)
    return int(any(row.wrong for row in rows))


def _rows(config: Mapping[str, str]) -> Iterator[_Row]:
    """Give our settings, then what else a function's config has, then names that are nearly ours.

    A variable of the environment comes before the config. An empty one is not set.
    """
    from gpfn.settings import SETTINGS

    for name in SETTINGS:
        yield _row(name, config, DEFAULTS.get(name, ""))
    for name in config:
        if name not in SETTINGS:
            yield _row(name, config)
    for name in sorted(os.environ):
        if name.startswith(_OURS) and name not in SETTINGS and name not in config:
            yield _row(name, config)


def _row(name: str, config: Mapping[str, str], default: str = "") -> _Row:
    here, there = os.environ.get(name), config.get(name)
    value = here or there or None
    source = "environment" if here else "func.yaml" if there else "default"
    return _Row(name, value, source, default, _wrong(name, value) if value else "")


def _wrong(name: str, value: str) -> str:
    from gpfn.cli.usage import did_you_mean
    from gpfn.errors import SetupError
    from gpfn.settings import SETTINGS, check_settings

    if name.startswith(_OURS) and name not in SETTINGS:
        return f"{name}: nothing reads it{did_you_mean(name, SETTINGS)}"
    try:
        check_settings({name: value})
    except SetupError as error:
        return str(error)
    return ""


def _document(row: _Row) -> dict[str, object]:
    value = None if row.value is None else row.shown
    wrong = {"wrong": row.wrong} if row.wrong else {}
    return {"name": row.name, "value": value, "source": row.source, "default": row.default, **wrong}
