"""Run by the interpreter that has PyPI's graphpipe: reads and writes messages for us.

One JSON document a line in, one out; bytes are in base64. It uses nothing of ours.
"""

import base64
import json
import sys

import numpy as np
from graphpipe import convert


def to_json(array):
    """Return an array as dtype, shape and bytes."""
    if array.dtype.kind in "OS":
        values = [base64.b64encode(bytes(v)).decode() for v in array.ravel().tolist()]
        return {"dtype": "string", "shape": array.shape, "data": values}
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": array.shape, "data": data}


def from_json(document):
    """Return the array that ``to_json`` wrote."""
    if document["dtype"] == "string":
        values = np.empty(len(document["data"]), object)
        values[:] = [base64.b64decode(v) for v in document["data"]]
        return values.reshape(document["shape"])
    data = base64.b64decode(document["data"])
    return np.frombuffer(data, document["dtype"]).reshape(document["shape"])


def texts(names):
    """Return byte strings as text."""
    return [name.decode() for name in names]


def read_request(body):
    """Read an inference request."""
    request = convert.deserialize_request(body)
    return {
        "tensors": [to_json(array) for array in request.input_tensors],
        "input_names": texts(request.input_names),
        "output_names": texts(request.output_names),
        "config": (request.config or b"").decode(),
    }


def read_response(body):
    """Read a reply."""
    tensors, errors = convert.deserialize_infer_response(body)
    pairs = [[error["code"], error["message"].decode()] for error in errors]
    return {"tensors": [to_json(array) for array in tensors], "errors": pairs}


def read_metadata(body):
    """Read a model's metadata."""
    answer = convert.deserialize_metadata_response(body)
    ios = [answer.Inputs(i) for i in range(answer.InputsLength())]
    return {
        "name": answer.Name().decode(),
        "inputs": [[io.Name().decode(), io.ShapeAsNumpy().tolist(), io.Type()] for io in ios],
    }


def answer(question):
    """Do what the document asks for."""
    if question["do"].startswith("read"):
        return globals()[question["do"]](base64.b64decode(question["body"]))
    tensors = [from_json(document) for document in question.get("tensors", ())]
    if question["do"] == "write_request":
        request = convert.InferReq(
            question["config"], tensors, question["input_names"], question["output_names"]
        )
        body = convert.serialize_infer_request(request)
    elif question["do"] == "write_response":
        body = convert.serialize_infer_response(tensors)
    else:
        body = convert.serialize_metadata_request()
    return {"body": base64.b64encode(bytes(body)).decode()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
