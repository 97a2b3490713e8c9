"""A second opinion on every message: accessors that flatc generates from our schema.

The flatbuffers package that runs them knows nothing of our reader and writer.
"""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from gpfn.graphpipe.messages import (
    Error,
    InferRequest,
    InferResponse,
    IOMetadata,
    MetadataRequest,
    MetadataResponse,
    Type,
    type_number,
)
from tests.conftest import ROOT

__all__ = ["Oracle"]

SCHEMA = ROOT / "src" / "gpfn" / "graphpipe" / "graphpipe.fbs"


class Oracle:
    """Messages to bytes and back, by generated code."""

    def __init__(self, folder: Path) -> None:
        command = ["flatc", "--python", "--gen-object-api", "-o", str(folder), str(SCHEMA)]
        subprocess.run(command, check=True, capture_output=True)
        sys.path.insert(0, str(folder))
        try:
            self.code = {
                name: import_module(f"graphpipe.{name}")
                for name in (
                    "Error",
                    "IOMetadata",
                    "InferRequest",
                    "InferResponse",
                    "MetadataRequest",
                    "MetadataResponse",
                    "Req",
                    "Request",
                    "Tensor",
                    "Type",
                )
            }
        finally:
            sys.path.remove(str(folder))

    def new(self, table: str, **fields: object) -> Any:
        """Return a table as flatc's object API has it."""
        value = getattr(self.code[table], f"{table}T")()
        for name, content in fields.items():
            assert hasattr(value, name), f"{table} has no {name}"
            setattr(value, name, content)
        return value

    def pack(self, table: Any) -> bytes:
        """Return the message whose root is ``table``, as flatbuffers writes it."""
        builder = flatbuffers.Builder(64)
        builder.Finish(table.Pack(builder))
        return bytes(builder.Output())

    def write(
        self, message: InferRequest | MetadataRequest | InferResponse | MetadataResponse
    ) -> bytes:
        """Return the message as flatbuffers writes it."""
        match message:
            case MetadataRequest():
                table = self.new("Request", reqType=2, req=self.new("MetadataRequest"))
            case InferRequest():
                inner = self.new(
                    "InferRequest",
                    config=message.config,
                    inputNames=list(message.input_names),
                    inputTensors=[self.tensor(array) for array in message.tensors],
                    outputNames=list(message.output_names),
                )
                table = self.new("Request", reqType=1, req=inner)
            case InferResponse():
                table = self.new(
                    "InferResponse",
                    outputTensors=[self.tensor(array) for array in message.tensors],
                    errors=[
                        self.new("Error", code=error.code, message=error.message)
                        for error in message.errors
                    ],
                )
            case MetadataResponse():
                fields = message._asdict()
                for side in ("inputs", "outputs"):
                    fields[side] = [
                        self.new("IOMetadata", **entry._asdict()) for entry in fields[side]
                    ]
                table = self.new("MetadataResponse", **fields)
        return self.pack(table)

    def tensor(self, array: np.ndarray[Any, Any]) -> Any:
        """Return an array as a tensor of the object API."""
        shape = list(array.shape)
        if array.dtype == object:
            return self.new("Tensor", type=12, shape=shape, stringVal=array.ravel().tolist())
        data = np.frombuffer(array.astype(array.dtype.newbyteorder("<")).tobytes(), np.uint8)
        number = int(type_number(array.dtype.name))
        return self.new("Tensor", type=number, shape=shape, data=data)

    def request(self, data: bytes) -> InferRequest | MetadataRequest:
        """Read a request."""
        request = self.code["Request"].Request.GetRootAs(data)
        kinds = self.code["Req"].Req
        if request.ReqType() == kinds.MetadataRequest:
            return MetadataRequest()
        assert request.ReqType() == kinds.InferRequest
        inner = self.code["InferRequest"].InferRequest()
        inner.Init(request.Req().Bytes, request.Req().Pos)
        return InferRequest(
            tensors=self._arrays(inner, "InputTensors"),
            input_names=self._texts(inner, "InputNames"),
            output_names=self._texts(inner, "OutputNames"),
            config=(inner.Config() or b"").decode(),
        )

    def response(self, data: bytes) -> InferResponse:
        """Read a reply to an inference request."""
        response = self.code["InferResponse"].InferResponse.GetRootAs(data)
        errors = [response.Errors(i) for i in range(response.ErrorsLength())]
        return InferResponse(
            tensors=self._arrays(response, "OutputTensors"),
            errors=tuple(Error(e.Code(), (e.Message() or b"").decode()) for e in errors),
        )

    def metadata(self, data: bytes) -> MetadataResponse:
        """Read a reply to a metadata request."""
        table = self.code["MetadataResponse"].MetadataResponse.GetRootAs(data)
        return MetadataResponse(
            **{
                field: (getattr(table, field.capitalize())() or b"").decode()
                for field in ("name", "version", "server", "description")
            },
            inputs=tuple(_io(table.Inputs(i)) for i in range(table.InputsLength())),
            outputs=tuple(_io(table.Outputs(i)) for i in range(table.OutputsLength())),
        )

    def _arrays(self, table: Any, field: str) -> tuple[np.ndarray[Any, Any], ...]:
        count = getattr(table, f"{field}Length")()
        return tuple(_array(getattr(table, field)(i)) for i in range(count))

    def _texts(self, table: Any, field: str) -> tuple[str, ...]:
        count = getattr(table, f"{field}Length")()
        return tuple(getattr(table, field)(i).decode() for i in range(count))


def _io(table: Any) -> IOMetadata:
    return IOMetadata(
        name=(table.Name() or b"").decode(),
        description=(table.Description() or b"").decode(),
        shape=tuple(table.Shape(i) for i in range(table.ShapeLength())),
        type=Type(table.Type()),
    )


def _array(table: Any) -> np.ndarray[Any, Any]:
    shape = tuple(table.Shape(i) for i in range(table.ShapeLength()))
    kind = Type(table.Type())
    if kind is Type.STRING:
        assert table.DataLength() == 0
        array = np.empty(table.StringValLength(), object)
        array[:] = [table.StringVal(i) for i in range(table.StringValLength())]
        return array.reshape(shape)
    assert table.StringValLength() == 0
    raw = table.DataAsNumpy() if table.DataLength() else np.zeros(0, np.uint8)
    return raw.view(np.dtype(kind.dtype).newbyteorder("<")).reshape(shape)
