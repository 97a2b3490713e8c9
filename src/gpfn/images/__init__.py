"""Images from callers: from whatever they are sent as to what a model takes.

    sources      base64, data URL, raw bytes, multipart -> the image file's bytes
    decoding     the file's bytes -> RGB pixels, upright, its size checked first
    preparation  RGB pixels -> the model's input, as the catalogue says

A URL is fetched by gpfn.guarded. Pillow (extra ``images``) is imported when the last two
are first used.
"""
