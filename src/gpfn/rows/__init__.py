"""Rows of named columns to a model's arrays, and its answers to rows again; bytes in, bytes out.

Nothing is loaded here: who needs a part imports its module.
"""

__all__: list[str] = []
