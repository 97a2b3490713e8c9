"""Starting a function as its platform would, calling it, and ending it.

``gpfn invoke`` stands on this; so do tests that want a function under a real contract.
A platform is a class with start(), call() and stop(); the table of them is in platforms.
"""

__all__: list[str] = []
