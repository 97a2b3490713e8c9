"""What a model takes and gives, as a GraphPipe message and as graphpipe-go's JSON."""

from gpfn.graphpipe.messages import IOMetadata, MetadataResponse
from gpfn.graphpipe.server.inference import ServedModel
from gpfn.graphpipe.types import type_number
from gpfn.tensors.spec import TensorSpec

__all__ = ["describe", "metadata_json"]


def describe(model: ServedModel, server: str, version: str) -> MetadataResponse:
    """Return the model's metadata; an unknown dimension is -1, an unknown rank no shape."""
    return MetadataResponse(
        name=model.name,
        version=version,
        server=server,
        description=f"Served by {server} {version}",
        inputs=tuple(_describe(spec) for spec in model.inputs),
        outputs=tuple(_describe(spec) for spec in model.outputs),
    )


def _describe(spec: TensorSpec) -> IOMetadata:
    return IOMetadata(
        name=spec.name,
        description="bool as Uint8: 0 is false" if spec.dtype == "bool" else "",
        shape=tuple(-1 if size is None else size for size in spec.shape or ()),
        type=type_number("uint8" if spec.dtype == "bool" else spec.dtype),
    )


def metadata_json(metadata: MetadataResponse) -> dict[str, object]:
    """Return the document that graphpipe-go answers GET with: its keys, Type as a number."""
    return {
        "Name": metadata.name,
        "Version": metadata.version,
        "Server": metadata.server,
        "Description": metadata.description,
        "Inputs": [_io_json(entry) for entry in metadata.inputs],
        "Outputs": [_io_json(entry) for entry in metadata.outputs],
    }


def _io_json(entry: IOMetadata) -> dict[str, object]:
    return {
        "Name": entry.name,
        "Description": entry.description,
        "Shape": list(entry.shape),
        "Type": int(entry.type),
    }
