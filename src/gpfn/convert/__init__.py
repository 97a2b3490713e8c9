"""From models of other frameworks to models that are run here, and the proof that both agree.

Each framework runs in an environment of its own (`gpfn.convert.environments`), as a process
that is watched (`gpfn.convert.converter`) and whose code is in `gpfn.convert.inside`. What it has
written is asked the same samples as the original before it gets its name.
"""

__all__: list[str] = []
