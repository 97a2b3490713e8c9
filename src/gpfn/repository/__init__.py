"""A model repository as its documents and its HTTP API have it: no store, no server.

names           what a model, a tag, a file and a version may be called
record          a JSON object read member by member; a mistake names its place
documents       manifests and changes of tags, written and read
answers         what the HTTP API is asked and answers
client          asks a repository over HTTP
transfer        a model's files sent there, or fetched from there

The server's side is `gpfn.serving.repository`; both read and write the documents of this package.
"""

__all__: list[str] = []
