"""TF Serving's REST API, version 1, which KServe calls V1: its JSON, without sockets.

    envelope      a body's text to its members: NaN and Infinity, members that occur twice, the form
    predict       a request to arrays, by the model's declared inputs
    predictions   arrays to the reply, in the form that the request had
    replies       what a server answers: predictions and metadata to arrays and specs
    documents     status, metadata, the list of models, errors

A request of the row form has ``instances`` and is answered with ``predictions``, one of the
column form ``inputs`` and ``outputs``. Nothing is imported until it is used.
"""

__all__: list[str] = []
