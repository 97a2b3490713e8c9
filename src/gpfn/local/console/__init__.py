"""The console of ``gpfn dev`` at ``/ui``: functions, their calls, and a form that makes one.

`views` are what it asks ``gpfn dev`` for, `asking` what a page is asked for, `looking` gathers
that. `desk` puts the panels together: `functions_panel`, `timeline`, `call_panel` (with `stages`,
`blame`, `answers` and `shell`), `calls_list`, `hundred`, `differences` and `bridge`. `documents`
has the same as JSON. `pages` answers over HTTP, `sending` reads what is sent, `live` tells of
calls as they end.

The server's HTML is the page. The script only spares reloads. Words, assets and drawings are
those of the model server's pages (`gpfn.serving.pages`).
"""

from gpfn.local.console.pages import ConsolePages, ConsoleSources

__all__ = ["ConsolePages", "ConsoleSources"]
