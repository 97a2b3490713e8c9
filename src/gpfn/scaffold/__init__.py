"""A function's folder made from a model: ``gpfn init``.

    names     what a function may be called
    source    the model: opened, its signature read, its files found
    samples   values that the model takes, tried out
    kinds     the table of kinds: what each is for, and its parts of the files
    row_kind, image_kind  what two of them need besides
    contents  all files of the folder, as text or as what is copied
    folder    the folder written whole or not at all
    archive   the folder as the tar that ``fn init --init-image`` unpacks

The texts are in ``templates``, with ``$NAME`` where something is put in.
"""

__all__: list[str] = []
