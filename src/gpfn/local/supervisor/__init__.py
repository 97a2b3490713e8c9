"""The supervisor: it runs functions as processes of this machine, under their true contract.

settings        how many processes and calls, and how true to the platforms
supervisor      the one that is called: a pool of processes for each function
container       an image as another kind of process, with an engine
emulated        what differs here from Fn and from OpenWhisk, and why
"""

__all__: list[str] = []
