"""What ``gpfn models show`` prints of a model: facts in columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gpfn.cli.progress import size_text
from gpfn.cli.table import print_table

if TYPE_CHECKING:
    from gpfn.repository.answers import ModelHistory

__all__ = ["print_facts", "print_versions"]

_SHOWN = 20  # classes that are printed


def print_facts(found: Mapping[str, Any]) -> None:
    """Print what ``gpfn models show --json`` has, for people."""
    size = found["size"]
    facts = [("model", found["name"]), ("backend", found["backend"])]
    if size is not None:
        more = f" in {found['files']} files" if found["files"] > 1 else ""
        facts += [("size", size_text(size) + more)]
    facts += _description_facts(found["description"] or {})
    print_table([*facts, ("sha256", found["sha256"])] if found["sha256"] else facts)
    for name, ends in found["signatures"].items() or [("", found)]:
        if name:
            print(f"with ?signature={name}:")
        for side in ("inputs", "outputs"):
            print(f"{side}:")
            rows: list[tuple[str, ...]] = [
                (row["name"], row["dtype"], _shape_text(row["shape"])) for row in ends[side]
            ]
            print_table(rows or [("not told",)], indent=2)
    for name, labels in found["labels"].items():
        print(f"classes of {name}: {_shortened(labels)}")
    if found["left_out"]:
        print("left out, because they cannot be used:")
        print_table(list(found["left_out"].items()), indent=2)


def _description_facts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("title", "description", "licence", "source", "labels"):
        if row.get(key):
            yield key, row[key]
    if row.get("aliases"):
        yield "aliases", ", ".join(row["aliases"])
    if row.get("classes"):
        yield "classes", _shortened(row["classes"])
    if row.get("columns"):
        yield "columns", ", ".join(map(_column_text, row["columns"]))
    if row.get("image"):
        yield "image", _image_text(row["image"])
    if row.get("scores"):
        yield "scores", _scores_text(row["scores"])
    if row.get("serving"):
        yield "serving", ", ".join(f"{k} = {_value_text(v)}" for k, v in row["serving"].items())


def _shortened(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")


def _column_text(column: dict[str, Any]) -> str:
    """Return a column with what is declared of it: ``petals (int64, else 5)``."""
    told = [column["dtype"]] if column["dtype"] else []
    if column["default"] is not None:
        default = column["default"]
        told.append(f"else {repr(default) if isinstance(default, str) else _value_text(default)}")
    return f"{column['name']} ({', '.join(told)})" if told else str(column["name"])


def _image_text(image: dict[str, Any]) -> str:
    size = f"{image['width']} x {image['height']} {image['channels']}, {image['layout']}"
    if image["quantised"]:
        return f"{size}, {image['fit']}, uint8"
    means, stds = ((", ".join(f"{number:g}" for number in image[key])) for key in ("mean", "std"))
    return f"{size}, {image['fit']}, float32: (byte - ({means})) / ({stds})"


def _scores_text(scores: dict[str, Any]) -> str:
    """Return what is said of scores: ``output = logits, softmax = true``."""
    said = {key: value for key, value in scores.items() if value not in (None, False, "")}
    return ", ".join(
        f"{k} = {v if isinstance(v, str) else _value_text(v)}" for k, v in said.items()
    )


def _shape_text(shape: list[int | None] | None) -> str:
    if shape is None:
        return "any shape"
    sizes = ", ".join("n" if size is None else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"


def _value_text(value: object) -> str:
    """Return a value of a model.toml as it stands there."""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, tuple) else f"{value:g}"


def print_versions(history: "ModelHistory") -> None:
    """Print what ``gpfn models show NAME --url`` has, for people."""
    by_version: dict[int, list[str]] = {}
    for tag, version in sorted(history.tags.items()):
        by_version.setdefault(version, []).append(tag)
    facts = [("model", history.name), ("latest", str(history.latest or "-"))]
    print_table([*facts, *[(f"tag {tag}", str(at)) for tag, at in sorted(history.tags.items())]])
    rows = []
    for served in history.versions:
        one = served.manifest
        tags = ", ".join(by_version.get(one.version, [])) or "-"
        facts_of = (one.kind, size_text(one.size), one.when, one.who or "-", tags)
        rows.append((str(one.version), served.state or "-", *facts_of, one.digest[:12]))
    heads = ("VERSION", "STATE", "KIND", "SIZE", "WHEN", "WHO", "TAGS", "DIGEST")
    print_table(rows, heads)
    for served in history.versions:
        for note in (served.reason, *served.manifest.notes):
            if note:
                print(f"{served.manifest.version}: {note}")
    if history.versions:
        newest = history.versions[-1].manifest
        for side, specs in (("inputs", newest.inputs), ("outputs", newest.outputs)):
            print(f"{side} of {newest.version}:")
            lines = [
                (spec.name, spec.dtype, _shape_text(None if spec.shape is None else [*spec.shape]))
                for spec in specs
            ]
            print_table(lines or [("not told",)], indent=2)
    for manifest in history.trash:
        print(f"in the trash: {manifest.version}, deleted {manifest.deleted}")
