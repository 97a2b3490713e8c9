"""What runs in a converter's environment, where there is no gpfn: standard library and framework.

It is loaded as the package ``gpfn_inside`` by the Python of that environment. One process
converts a model, stays, and is then asked the same samples as what it has written.
"""

__all__: list[str] = []
