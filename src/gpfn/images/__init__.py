"""Images from callers: from whatever they are sent as to what a model takes.

`sources` turns base64, data URLs, raw bytes and forms into an image file's bytes, `decoding`
those into RGB pixels, upright, their number checked first, and `preparation` the pixels into
the model's input, as the catalogue says.

A URL is fetched by gpfn.http.fetch. Pillow (extra ``images``) is imported when the last two
are first used.
"""

__all__: list[str] = []
