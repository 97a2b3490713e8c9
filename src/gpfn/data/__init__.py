"""Data files as columns in chunks, and models over them: what ``gpfn score`` and training stand on.

seam         what a reader and a writer are: chunks of named columns
formats      the table of formats; `open_source` and `open_sink`
whole_file   outputs that appear whole or not at all
root         ROOT files: branches by name, and the vector that a mapping makes of them
feeding      which columns feed a model's inputs, and how
scorer       a model over chunks: rows that fail are set aside
scoring      a file in, a file out; `batches` does the same for Arrow's record batches
running      many files, in processes, of which those that are done are left out

Nothing is loaded here: who needs a part imports its module.
"""

__all__: list[str] = []
