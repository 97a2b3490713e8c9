"""What a user calls a model: a name in the catalogue, a file, a folder or a URL."""

import os

from gpfn.cli.progress import DownloadProgress

__all__ = ["model_uri"]


def model_uri(name: str) -> str:
    """Return what `gpfn.models.open_model` opens for a user's word.

    A file or folder comes before a name of the catalogue; the catalogue's file is fetched
    when it is not on this machine yet.
    """
    from gpfn.models.catalogue import default_catalogue
    from gpfn.models.store import obtain

    if os.path.exists(name) or name not in default_catalogue():
        return name
    return str(obtain(default_catalogue().get(name).model, progress=DownloadProgress()))
