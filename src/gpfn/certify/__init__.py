"""Checking any server against a platform's contract, as the platform's own tests would.

check      a check, a list of them, what came of one; all checks of a platform
subject    what is checked: a command, an image, or a server that runs already
wire       HTTP towards it, with its framing
openwhisk  the checks of an OpenWhisk action's server
fn         the checks of an Fn container

Nothing here knows gpfn's own runners: they are subjects like any other. Which checks a
platform has is in the table of platforms.
"""

__all__: list[str] = []
