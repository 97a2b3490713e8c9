"""Where our answers differ from TFaaS's recorded ones, and why.

``python -m tests.e2e.tfaas.expected`` prints the table.
"""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["ANYWHERE", "EXPECTED", "Row", "expected_kinds", "table"]

ANYWHERE = {
    "error text": '`{"error": …}` as there, in words that name the field',
    "type of an error": "`application/json` below paths of TFaaS, also where it is 404",
    "type": "`application/json`, as the documents promise: TFaaS sets it too late",
    "more members": "the list of models has both spellings of its keys, versions and tags",
    "X-Ratelimit": "without `--rate` there is no limit; with it, they are in a 429",
}
"""Kinds of differences that any call may have."""


class Row(NamedTuple):
    """One difference: of which kind, what is here instead, why, and in which calls."""

    kind: str
    here: str
    why: str
    cases: tuple[str, ...]


WRONG, UNKNOWN, TAKEN = "status 500 → 400", "status 500 → 404", "status 500 → 200"
REFUSED, GONE, CUT = "status 200 → 400", "status 200 → 404", "cut → 400"
_NEVER = "no model is the current one for all clients: name it, or start with `--default`"
_NO_OP = "no document and no client sends `op`: the files are all that is needed"
_UNKNOWN = "there is no such model"
_LABELS = "labels are told where the model has them, whatever its kind"

EXPECTED = (
    Row(
        WRONG,
        "400",
        "what is wrong is the request",
        (
            "tfaas.jsonl 6",
            "form upload, name missing",
            "form upload, model missing",
            "form upload, params is not JSON",
            "form upload, name differs from params.name",
            "json: too few values",
            "json: no values",
            "json: values are strings",
            "json: keys are numbers",
            "json: null values",
            "json: value out of float32",
            "json: NaN",
            "json: a list",
            "json: not JSON",
            "json: no body",
            "json: gzip body",
            "json: params without input_node",
            "proto: too few values",
            "proto: malformed",
            "image: TF2 without img_channels",
        ),
    ),
    Row(
        CUT,
        "400, which says what is wrong (of a picture, its size and the model's)",
        "a panic in TFaaS, which cuts the connection",
        (
            "json: TF2 bundle, too few values: the connection is cut",
            "image: TF2 bundle, another size: the connection is cut",
            "image: no image: the connection is cut",
            "image: raw body",
        ),
    ),
    Row(
        WRONG,
        "400",
        _NEVER,
        (
            "json before any model",
            "proto: empty body",
            "image: no model",
            "python client: image, no model",
        ),
    ),
    Row(
        REFUSED,
        "400",
        _NEVER,
        (
            "json without model: the last complete form upload is the default",
            "json: no model: the one set by POST /params",
            'json: "name" is not "model" (python_client.md)',
            "proto: no model",
            'python client: predict, "name" in the file',
        ),
    ),
    Row("status 200 → 403", "403", _NEVER, ("tfaas.jsonl 3", "params, POST")),
    Row("status 500 → 403", "403", _NEVER, ("params, POST not JSON",)),
    Row(
        UNKNOWN,
        "404",
        _UNKNOWN,
        (
            "params/none",
            "json: unknown model",
            "proto: unknown model",
            "image: unknown model",
            "python client: predict, unknown model",
            "json: TF2 deleted",
        ),
    ),
    Row(
        GONE,
        "404",
        _UNKNOWN,
        (
            "delete repairs it",
            "delete by path, again",
            "delete, form",
            "python client: delete of an unknown model",
        ),
    ),
    Row("cut → 404", "404", "a name is no path", ("json: model is a path",)),
    Row(
        TAKEN,
        "200",
        _NO_OP,
        (
            "tfaas.jsonl 7",
            "form upload as every document says (no op): files are stored, reply is an error",
            "python client: upload",
            "python client: upload with op as a field",
            "python client of 2018: upload",
        ),
    ),
    Row(
        TAKEN,
        "200",
        "parameters and labels are needed where a model does not say itself what it takes",
        (
            "form upload, params missing",
            "form upload, labels missing",
            "form upload, params is a field and not a file",
        ),
    ),
    Row(
        TAKEN,
        "200",
        "a model that is not in base64 is taken as it is",
        ("form upload, model not base64 but Content-Encoding: base64",),
    ),
    Row(
        TAKEN,
        "200",
        "what a bundle is, its first bytes say",
        (
            "bundle, gzip without Content-Encoding",
            "bundle, Content-Encoding gzip but plain tar",
        ),
    ),
    Row(
        "status 500 → 415",
        "415",
        "it is no archive",
        ("upload, JSON instead", "bundle, empty body"),
    ),
    Row(
        "status 500 → 415",
        "415, with the command that exports it",
        "files of Keras are programs in Python",
        ("python client: upload, labels with an unknown suffix arrive base64-encoded",),
    ),
    Row(
        "status 500 → 422",
        "422",
        "there is no model in it",
        ("bundle, member in a folder that has no entry of its own",),
    ),
    Row(
        REFUSED,
        "400, and nothing is written",
        "an archive writes into its own folder",
        ("bundle, a member name with ..: written outside the model folder (do not copy)",),
    ),
    Row(
        WRONG,
        "400, and no folder is made",
        "a name is no path",
        ("form upload, name with .. (do not copy)",),
    ),
    Row(
        REFUSED,
        "400",
        "a bundle's folder and `name` in its params.json are one name; TFaaS never answers for it",
        ("bundle alias",),
    ),
    Row(
        UNKNOWN,
        "404",
        "the bundle was refused",
        (
            "json: folder and params.name differ, by folder",
            "json: folder and params.name differ, by params.name",
        ),
    ),
    Row(
        "body instead of none",
        "name, version, digest and notes as JSON",
        "who uploads wants to know what became of it; no client reads the body",
        (
            "tfaas.jsonl 1",
            "form upload with an op file",
            "bundle luca",
            "bundle talk",
            "bundle rgb",
            "bundle rgbnoch",
            "bundle keras",
            "bundle mnist",
            "bundle, plain tar without Content-Encoding",
            "python client: bundle",
            "bundle nan",
            "bundle ints",
            "bundle one",
            "bundle keras3",
            "upload of the first content of again",
            "upload of the second content",
            "upload of the second content after delete",
            "form upload, file name with .. in the model part",
        ),
    ),
    Row(
        "null",
        "`[]`",
        "no models are an empty list; `null` is an accident of Go",
        (
            "models, none stored",
            "base: models",
            "base without a leading slash: models",
            "rate 2-S: third call of a second",
        ),
    ),
    Row(
        TAKEN,
        "the list",
        "what was refused has left nothing",
        ("models is broken by the folder that it left",),
    ),
    Row(
        "members",
        "without `:0` and by today's keys",
        "`dense/Softmax:0` is no operation's name, and `inputNode` means `input_node`",
        ("models", "models at the end", "python client: models", "python client: models, verbose"),
    ),
    Row(
        "status 405 → 200",
        "the list",
        "the client of 2018 sends POST",
        ("models, POST with {} as the client of 2018 sent it", "python client of 2018: models"),
    ),
    Row(
        "status 405 → 200",
        "200",
        "HEAD is as good as GET",
        ("models, HEAD", "HEAD of the page"),
    ),
    Row(
        "status 405 → 400",
        "the parameters of the default model, as in 2018; 400 where there is none",
        _NEVER,
        ("params, GET",),
    ),
    Row(
        "status 404 → 200",
        "200",
        "a slash at the end is as good as none",
        ("models with a slash", "json: trailing slash"),
    ),
    Row(
        "status 404 → 200",
        "a page",
        "the page of that model",
        ("a model by the path of the README",),
    ),
    Row(
        "status 400 → 200",
        "deleted",
        "the query names a model as well, as TFaaS's README says",
        ("delete by query (Go/README.md)",),
    ),
    Row(
        "status 400 → 404",
        "the model is named, and was deleted by the query before",
        "so do JSON and urlencoded bodies",
        ("delete, JSON body", "delete, urlencoded body"),
    ),
    Row(
        TAKEN,
        "rows of numbers",
        "a list of rows is several rows: an extension",
        ("json: nested values",),
    ),
    Row(
        "cut → 200",
        "a result",
        "`inputNode` of the talk is read",
        (
            "json: a frozen graph with inputNode of the talk: the connection is cut",
            "python client: predict, server cuts the connection",
        ),
    ),
    Row(
        "cut → 200",
        "a result",
        "any numbers of any shape are told, of any SavedModel",
        (
            "json: the model gives int64: the connection is cut",
            "json: the model gives one dimension: the connection is cut",
            "json: SavedModel of Keras 3 (serving_default_keras_tensor): the connection is cut",
        ),
    ),
    Row(
        "status 200 → 502",
        "502",
        "NaN is not in JSON",
        ("json: the model gives NaN: 200 and an empty body",),
    ),
    Row(
        "labels",
        "labels in `label`",
        _LABELS,
        (
            "proto: 42 values, packed",
            "proto: the same",
            "proto: three outputs, no labels in the reply",
            "proto: floats not packed",
            "proto: no keys",
            "proto: application/x-protobuf",
            "C++ client",
            "C++ client against the default rate",
        ),
    ),
    Row(
        "labels",
        "`filename` and `labels`",
        _LABELS,
        (
            "image: TF2 bundle, grey",
            "image: TF2 bundle, colour picture, 1 channel asked",
            "python client: image, TF2",
        ),
    ),
    Row(
        TAKEN,
        "labels",
        "the model says itself how many channels it takes",
        ("image: img_channels missing in params",),
    ),
    Row(
        "body",
        "the new model's answer",
        "an upload is seen at once",
        ("json: again, second content: the first still answers",),
    ),
    Row(
        "body",
        "the answer of the upload before, and labels",
        "an upload is seen at once: TFaaS's was for the one before that",
        ("proto: outputs of 0",),
    ),
    Row(
        "members",
        "without `CPU`, `NGo`, `getRequests`, `postRequests`",
        "they are of Go, and of that server's counters; ours are in `/metrics`",
        ("status",),
    ),
    Row(
        "text/html; charset=utf-8 → application/json",
        "the state as JSON; the page where `Accept` names HTML",
        "GraphPipe's clients ask the same path",
        ("page", "base: page"),
    ),
    Row(
        "status 301 → 200",
        "the same",
        "below a base path, its slash may be left out",
        ("base: page without slash",),
    ),
    Row(
        "status 404 → 200",
        "the same as below the base",
        "a proxy may take the base away or leave it",
        ("base: without it",),
    ),
    Row(
        GONE,
        "404",
        "files of that server's page",
        ("favicon", "css", "netron", "netron as the page links it"),
    ),
    Row(UNKNOWN, "404", "the same", ("netron, unknown file",)),
    Row(
        "text/javascript → text/javascript; charset=utf-8",
        "a script of another Netron",
        "of the version that is installed",
        ("base: netron file",),
    ),
    Row(
        GONE,
        "404",
        "a file of a model's manifest is told, and no folder is listed",
        (
            "download, a folder is listed (do not copy)",
            "base: download",
            "rate: download is not limited",
        ),
    ),
    Row(
        GONE,
        "404",
        "no file of the machine is told",
        (
            "data, a relative path is read from the working folder",
            "data, any absolute path (do not copy)",
            "data, a folder",
        ),
    ),
    Row("status 400 → 404", "404", "the same", ("data, no query",)),
    Row("status 204 → 404", "404", "the same", ("data, no such file",)),
    Row(
        "status 301 → 404",
        "404",
        "paths mean what they say: no slash is taken out",
        ("double slash",),
    ),
    Row(
        "status 301 → 400",
        "400",
        "a name is no path",
        ("params, .. in the path",),
    ),
)
"""The differences, one a row; a call may have several."""


def expected_kinds(case: str) -> set[str]:
    """Return the kinds of differences that a call is to have besides those that any may."""
    return {row.kind for row in EXPECTED if case in row.cases}


def table() -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| TFaaS | here | why | calls |"
    yield "|---|---|---|---|"
    for kind, why in ANYWHERE.items():
        yield f"| {kind} | another | {why} | any |"
    for row in EXPECTED:
        calls = "; ".join(f"“{case}”" for case in row.cases)
        yield f"| {row.kind.partition(' →')[0]} | {row.here} | {row.why} | {calls} |"


if __name__ == "__main__":
    print("\n".join(table()))
