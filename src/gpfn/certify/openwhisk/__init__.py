"""The checks of an OpenWhisk action's server.

action    the server under test: started, initialised, called, its streams read
samples   the code that is sent to it
basic     A: what OpenWhisk asks of every runtime
python    B: what it asks of a Python runtime
skeleton  C: what it asks of an image with built-in code
proxy     D: how /init and /run refuse
platform  E: what a server needs to survive under the platform
kit       F: what no suite asks, and calls depend on
suite     all of them
"""

__all__: list[str] = []
