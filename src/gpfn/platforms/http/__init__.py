"""A function over plain HTTP: an ASGI application, and a process that serves it.

adapter      f.asgi: routes, admission, one call
incoming     a request's body, bounded
outgoing     a reply's head and body
readiness    opening the model beside the event loop
workers      threads for functions that are not async
settings     what the environment says
protocol     uvicorn's protocol with bounds on a request's head
runner       gpfn run http
"""

__all__: list[str] = []
