"""The checks of an OpenWhisk action's server.

action  the server under test, and the code that is sent to it
basic   A: what OpenWhisk asks of every runtime
python  B: what it asks of a Python runtime
server  C, D, E: an image's own code, refusals, life under the platform
kit     F: what no suite asks, and calls depend on
"""

__all__: list[str] = []
