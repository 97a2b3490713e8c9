"""Where our answers differ from the recorded ones, and why.

``python -m tests.e2e.oip.expected`` prints the table for docs/serving.md.
"""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["ANYWHERE", "EXPECTED", "Row", "expected_kinds", "table"]

ANYWHERE = {
    "error text": "texts are ours where it helps: they name the field",
    "type of an error": "always `application/json`: KServe's client reads no other",
    "health body": '`{"live": true}` and so on, as the protocol says and KServe\'s client needs',
    "type of a health answer": "`application/json` with that body",
    "more members": "members that the other server leaves out or empty, such as `platform`",
}
"""Kinds of differences that any call may have."""


class Row(NamedTuple):
    """One difference: of which kinds, what is here instead, why, and in which calls."""

    kinds: tuple[str, ...]
    here: str
    why: str
    cases: tuple[tuple[str, str], ...]


def _of(client: str, *cases: str) -> tuple[tuple[str, str], ...]:
    return tuple((client, case) for case in cases)


GRPC, INFER = "tritonclient.grpc", "mlserver infer"
HTTP, CURL, KSERVE = "tritonclient.http", "curl", "kserve InferenceRESTClient"

EXPECTED = (
    Row(
        ("status 500 → 400",),
        "400",
        "what is wrong is the request",
        _of(
            CURL,
            "infer, too few data",
            "infer, too many data",
            "infer, floats for INT32",
            "infer, strings for INT32",
            "infer, BOOL as 0/1",
            "infer, UINT8 out of range",
            "infer, shape missing",
            "infer, datatype missing",
            "infer, inputs missing",
            "infer, not JSON",
            "infer, negative shape",
            "infer, id is a number",
            "KServe server, v1 predict, not JSON",
            "KServe server, v1 predict, no instances",
            "KServe server, v1 predict, instances not a list",
        ),
    ),
    Row(
        ("status 422 → 400",),
        "400",
        "one status for all bad requests",
        _of(CURL, "KServe server, v2 infer, inputs missing", "MLServer, infer, inputs missing"),
    ),
    Row(
        ("status 400 → 404",),
        "404",
        "there is no such model, or it is unloaded",
        (
            *_of(HTTP, "health", "repository load, unload", "statistics, unknown model"),
            *_of(CURL, "models/nope/ready"),
            *_of(KSERVE, "v2 model ready against Triton"),
        ),
    ),
    Row(
        ("status 500 → 404",),
        "404",
        "loading a model that is not there",
        _of(HTTP, "repository load, unknown model"),
    ),
    Row(
        ("status 200 → 404",),
        "404",
        "unloading a model that is not there",
        _of(HTTP, "repository unload, unknown model"),
    ),
    Row(
        ("status 200 → 400",),
        "400",
        "a load may not bring a configuration or files: what a model is, its folder says",
        _of(HTTP, "repository load, config override", "repository load, config and files"),
    ),
    Row(
        ("status 200 → 404",),
        "404, and not in `extensions`",
        "traces by request, log settings and shared memory are absent",
        _of(HTTP, "trace", "logging", "system shared memory", "cuda shared memory status"),
    ),
    Row(
        ("status 200 → 404",),
        "no such model",
        "there is no state between requests, so no `sequence` extension",
        _of(HTTP, "infer, sequence", "infer, sequence id is a string"),
    ),
    Row(
        ("status 501 → 404",),
        "no such model",
        "a model answers a request once: none is decoupled",
        _of(HTTP, "error: decoupled model over HTTP"),
    ),
    Row(
        ("status 400 → 200",),
        "computed in parts",
        "a request may have more rows than a batch",
        _of(HTTP, "error: batch too large"),
    ),
    Row(
        ("status 400 → 200",),
        "numbers, both ways",
        "FP16 is as good as FP32 in JSON",
        (*_of(HTTP, "infer, FP16 JSON output"), *_of(CURL, "infer, FP16 as numbers")),
    ),
    Row(
        ("status 200 → 400",),
        "400; as recorded with `--nan-words`",
        "NaN and Infinity are no JSON",
        (
            *_of(HTTP, "infer, FP32 NaN and infinity, JSON output"),
            *_of(CURL, "infer, FP32 NaN literal"),
        ),
    ),
    Row(
        ("status 200 → 400",),
        "400",
        "a number beyond FP32 would become Infinity",
        _of(CURL, "infer, FP32 integers and exponents"),
    ),
    Row(
        ("status 200 → 400",),
        "400, which names `binary_data`",
        "bytes that are no UTF-8 are no JSON string",
        _of(HTTP, "infer, BYTES that are not UTF-8, JSON output"),
    ),
    Row(
        ("status 200 → 400",),
        "400",
        "no body is not a tensor without rows",
        _of(CURL, "infer, no body"),
    ),
    Row(("status 405 → 200",), "200", "HEAD is as good as GET", _of(CURL, "HEAD")),
    Row(
        ("index",),
        "all models of the folder are loaded at the start",
        "Triton ran with `--model-control-mode=explicit`, and had models that ours has not",
        (
            *_of(HTTP, "repository index", "repository index after load and unload"),
            *_of(CURL, "repository index, body with ready"),
        ),
    ),
    Row(
        ("stdout",),
        "`name`, `version` and `extensions` of ours",
        "it is another server",
        (*_of(HTTP, "server metadata"), *_of(GRPC, "metadata")),
    ),
    Row(
        ("stdout",),
        "`name`, `platform`, `max_batch_size`, `input`, `output`",
        "the rest of Triton's configuration means nothing here",
        (*_of(HTTP, "model config"), *_of(GRPC, "model config")),
    ),
    Row(
        ("statistics",),
        "no `cache_hit`, `cache_miss`, `response_stats`, `memory_usage`",
        "there is no cache of answers, and a model answers once; perf_analyzer needs none of them",
        _of(HTTP, "statistics"),
    ),
    Row(
        ("stdout",),
        "`gpfn_…`, on the server's own port",
        "names and buckets by Prometheus' conventions",
        _of(CURL, "metrics"),
    ),
    Row(
        ("no error text",),
        "text",
        "outside of `/v2` and `/v1`, paths are for browsers and GraphPipe",
        _of(HTTP, "base path"),
    ),
    Row(
        ("raised",),
        "no exception",
        "the client needs JSON from health, which Triton does not send",
        _of(KSERVE, "v2 live against Triton: no JSON body", "v2 ready against Triton"),
    ),
    Row(
        ("status 400 → 200",),
        "a result",
        "KServe's server sends no binary tensors",
        _of(KSERVE, "v2 infer, FP16 binary, KServe server"),
    ),
    Row(
        ("type", "form", "id"),
        "binary tensors, as asked; no id when none is given",
        "KServe's server sends JSON only, and makes up an id",
        _of(HTTP, "against the KServe server"),
    ),
    Row(
        ("id",),
        "no id when none is given",
        "KServe's server and MLServer make one up",
        _of(CURL, "KServe server, v2 infer by hand", "MLServer, infer nested"),
    ),
    Row(
        ("status 422 → 200",),
        "a result",
        "MLServer cannot read binary tensors",
        (*_of(HTTP, "against MLServer"), *_of(INFER, "binary, against MLServer")),
    ),
    Row(
        ("type", "form"),
        "binary tensors, as asked",
        "MLServer cannot write binary tensors",
        _of(INFER, "batch file against MLServer", "micro-batches of 2, against MLServer"),
    ),
    Row(
        ("status 200 → 404",),
        "404",
        "a version is a number in a folder of models; this one was `v1`",
        _of(CURL, "MLServer GET /v2/models/id/versions/v1"),
    ),
    Row(
        ("index",),
        "version `1`",
        "the same",
        _of(CURL, "MLServer, repository index"),
    ),
    Row(
        ("stdout",),
        "the same differences as over HTTP",
        "the documents are the same",
        _of(GRPC, "repository", "statistics"),
    ),
    Row(
        ("raised",),
        "UNIMPLEMENTED, and not in `extensions`",
        "traces by request, log settings and shared memory are absent",
        _of(GRPC, "trace, log", "shared memory status"),
    ),
    Row(
        ("raised",),
        "NOT_FOUND",
        "loading a model that is not there",
        _of(GRPC, "repository, unknown model"),
    ),
    Row(
        ("raised",),
        "NOT_FOUND",
        "there is no state between requests, and a model answers a request once",
        _of(GRPC, "sequence", "stream, decoupled model"),
    ),
    Row(
        ("type",),
        "`application/json`, as from Triton",
        "MLServer's empty answer has no type",
        _of(CURL, "MLServer, unload and load"),
    ),
)
"""The differences, one a row; a call may have several."""


def expected_kinds(key: tuple[str, str]) -> set[str]:
    """Return the kinds of differences that a call is to have besides those that any may."""
    return {kind for row in EXPECTED if key in row.cases for kind in row.kinds}


def table() -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| recorded | here | why | calls |"
    yield "|---|---|---|---|"
    for kind, why in ANYWHERE.items():
        yield f"| {kind} | another | {why} | any |"
    for row in EXPECTED:
        by_client: dict[str, list[str]] = {}
        for client, case in row.cases:
            by_client.setdefault(client, []).append(f"“{case}”")
        calls = "; ".join(f"{client}: {', '.join(each)}" for client, each in by_client.items())
        recorded = ", ".join(kind.partition(" →")[0] for kind in row.kinds)
        yield f"| {recorded} | {row.here} | {row.why} | {calls} |"


if __name__ == "__main__":
    print("\n".join(table()))
