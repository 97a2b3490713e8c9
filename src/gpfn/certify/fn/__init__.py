"""The checks of an Fn container.

container  the container under test: started, called through its socket
listening  L: how its socket has to appear
requests   R: what the agent sends
replies    P: what it takes for an answer
life       F: frozen, called again and again, within bounds
suite      all of them
"""

__all__: list[str] = []
