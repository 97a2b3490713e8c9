"""``gpfn models show``: inputs, outputs, files and classes of any model."""

import argparse
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpfn.models.description import Description
    from gpfn.models.model import Model
    from gpfn.tensors.spec import TensorSpec

__all__ = ["show_model"]

_DEFAULT = "serving_default"  # the signature that is taken when none is named


def show_model(args: argparse.Namespace) -> dict[str, Any]:
    """Open a model and tell what it is."""
    from gpfn.cli.described import description_of
    from gpfn.cli.resolve import model_uri
    from gpfn.models.open import open_model, signatures_of, split_uri, with_signature

    uri = with_signature(model_uri(args.model), args.signature)
    (place, named, _), signatures = split_uri(uri), signatures_of(uri)
    if args.vet:
        _vet(uri, place, signatures)
    undecided = not named and len(signatures) > 1 and _DEFAULT not in signatures
    model = open_model(uri, signature=signatures[0] if undecided else "")
    try:
        found = _facts(model, place)
    finally:
        model.close()
    default = _DEFAULT if _DEFAULT in signatures else (*signatures, None)[0]
    found["signature"] = None if undecided else named or default
    found["signatures"] = _signature_rows(place, signatures) if len(signatures) > 1 else {}
    if undecided:
        found |= {"inputs": None, "outputs": None}
    described = description_of(split_uri(args.model)[0])
    found["description"] = _description_row(described) if described else None
    if not args.json:
        from gpfn.cli.model_facts import print_facts

        print_facts(found)
    if args.timing:
        from gpfn.cli.model_timing import print_timing, timing_of

        found["timing"] = timing_of(uri)
        if not args.json:
            print_timing(found["timing"])
    return found


def _vet(uri: str, place: str, signatures: tuple[str, ...]) -> None:
    from gpfn.models.vet import vet_model

    if len(signatures) < 2:
        vet_model(uri)
    for name in signatures[1:] and signatures:
        vet_model(place, signature=name)


def _signature_rows(place: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return what each signature of a model takes and gives."""
    from gpfn.models.open import open_model

    rows = {}
    for name in names:
        model = open_model(place, signature=name)
        try:
            sides = {"inputs": model.inputs, "outputs": model.outputs}
        finally:
            model.close()
        rows[name] = {side: [_spec_row(spec) for spec in specs] for side, specs in sides.items()}
    return rows


def _facts(model: "Model", uri: str) -> dict[str, Any]:
    return {
        "name": model.name,
        "backend": model.backend,
        **_files_row(uri.partition("#")[0]),
        "inputs": [_spec_row(spec) for spec in model.inputs],
        "outputs": [_spec_row(spec) for spec in model.outputs],
        "labels": {name: list(labels) for name, labels in getattr(model, "labels", {}).items()},
        "left_out": dict(getattr(model, "left_out", {})),
    }


def _description_row(found: "Description") -> dict[str, Any]:
    signature = found.signature
    return {
        "title": found.title,
        "description": found.description,
        "licence": found.licence,
        "source": found.source,
        "aliases": list(found.aliases),
        "labels": found.labels.name if found.labels else "",
        "classes": list(found.classes),
        "columns": [column._asdict() for column in found.columns],
        "image": found.image._asdict() if found.image else None,
        "scores": found.scores._asdict() if found.scores else None,
        "serving": {k: v for k, v in found.serving._asdict().items() if v not in (None, ())},
        "inputs": [_spec_row(spec) for spec in signature.inputs] if signature else None,
        "outputs": [_spec_row(spec) for spec in signature.outputs] if signature else None,
    }


def _files_row(path: str) -> dict[str, Any]:
    """Return the bytes of a model's files, how many they are, and what ``#sha256=`` may name."""
    from gpfn.models.parts import model_digest, model_parts, model_size

    if not os.path.exists(path):
        return {"size": None, "files": None, "sha256": None}
    return {
        "size": model_size(path),
        "files": len(model_parts(path)),
        "sha256": model_digest(path),
    }


def _spec_row(spec: "TensorSpec") -> dict[str, Any]:
    shape = None if spec.shape is None else list(spec.shape)
    return {"name": spec.name, "dtype": spec.dtype, "shape": shape}
