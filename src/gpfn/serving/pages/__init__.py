"""The repository in a browser: the models, what they answer, their versions and tags.

`views` are what a page shows and what it asks a repository for. `listing`, `model_page`,
`versions`, `trying` and `outputs` make HTML of them, with the words of `markup` and the drawings
of `plots`. `adapter` answers what is read, `changes` and `trials` what is sent, which `forms`
reads; `assets` and `netron` serve files, `history` remembers an hour.

The server's HTML is the page. The script only spares reloads.
"""

from gpfn.serving.pages.adapter import RepositoryPages
from gpfn.serving.pages.history import History
from gpfn.serving.pages.views import Shown

__all__ = ["History", "RepositoryPages", "Shown"]
