"""Open Inference Protocol v2 over REST: its codec without sockets, and a client.

    datatypes       the protocol's datatypes beside NumPy's, and BF16
    json_values     a tensor's values as a list in JSON, read and written
    binary_values   the same as bytes behind the JSON
    body            where the JSON ends, and what it says
    decode          a message's list of tensors to arrays
    request         a request for inference: read by a server, written by a client
    reply           the reply to it: written by a server, read by a client
    classes         the classification extension
    documents       metadata, configuration, statistics, index and errors as plain values
    client          asks a model server

The protocol is https://github.com/kserve/open-inference-protocol with the extensions that
Triton's clients use: binary data, classification, statistics, configuration, repository.
"""

__all__: list[str] = []
