"""Data files as columns in chunks, and models over them: what ``gpfn score`` and training stand on.

seam         what a reader and a writer are: chunks of named columns
formats      the table of formats; `open_source` and `open_sink`
whole_file   outputs that appear whole or not at all
root         ROOT files: branches by name, and the vector that a mapping makes of them

Nothing is loaded here: who needs a part imports its module.
"""

__all__: list[str] = []
