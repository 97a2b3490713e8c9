"""TFaaS's wire forms as codecs without sockets, and a client of its HTTP API.

    row             a row of values in JSON, read as TFaaS's own server reads it
    answers         what the server says: numbers as Go prints them, labels, errors
    messages        the row and the answer as protocol buffers
    parameters      params.json, in the spellings of all its generations
    client          asks a TFaaS server, ours or the original

TFaaS (https://github.com/vkuznet/TFaaS) is "TensorFlow as a Service", made for the CMS experiment.
"""

__all__: list[str] = []
