"""Packing a function for a platform that takes code instead of images.

openwhisk     the zip of an action for OpenWhisk's own Python runtime
contents      what of a function's folder, of gpfn and of its models goes in
dependencies  which packages it needs, and getting them for another Python
zipping       a zip that is the same every time
"""

__all__: list[str] = []
