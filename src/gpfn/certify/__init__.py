"""Checking any server against a platform's contract, as the platform's own tests would.

    check      a check, a list of them, and what came of one
    subject    what is checked: a command, an image, or a server that runs already
    running    one started process or container: its streams, its signals, its end
    wire       HTTP towards it, with an eye on the framing
    report     the outcomes as a table and as JSON
    openwhisk  the checks of an OpenWhisk action's server
    fn         the checks of an Fn container

Nothing here knows gpfn's own runners: they are subjects like any other.
"""

__all__: list[str] = []
