"""Images from callers: from whatever they are sent as to what a model takes.

`sources` turns base64, data URLs, raw bytes and forms into an image file's bytes, `decoding`
those into RGB pixels, upright, and `preparation` the pixels into the model's input, as the
catalogue says. Before Pillow sees a file, `kinds` tells its format, whose module reads its
structure into an `outline`: what it would cost, and nothing that Pillow need not read.

A URL is fetched by gpfn.http.fetch. Pillow (extra ``images``) is imported when the last two
are first used.
"""

__all__: list[str] = []
