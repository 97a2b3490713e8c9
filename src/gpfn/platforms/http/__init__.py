"""A function over plain HTTP: an ASGI application, and a process that serves it.

adapter      ``f.asgi``, the application; loads the rest when it is first used
service      routes, admission, one call, its record in the log
asgi         a request's body, bounded; a reply's head and body
readiness    waiting for the model in an event loop
workers      the settings, and threads for functions that are not async
protocol     uvicorn's protocol with bounds on a request's head
runner       ``gpfn run http``
"""

__all__: list[str] = []
