"""Fn and OpenWhisk on one machine, in one process: ``gpfn dev``.

deployed    what is called: a function's folder or an action's code, and how it may run
calling     the seam of a call: what is sent to a function, and what came of it
supervisor  processes of functions under their platform's contract, and within its limits
state       one SQLite file, and bounded_rows in it; calls, call_record, waiting_call: every
            call of a function
handler     what answers a server's requests, by routes
fn          Fn's REST: apps, functions, triggers, and calls of them
openwhisk   OpenWhisk's REST: actions, packages, triggers, rules, activations, web actions
folders     the functions of a folder; watching: what changes; images: which folder an image is
placing     the folder's functions in the state of both platforms
assembly    both platforms on one state; offered: what the console is told of functions
service     two servers on one event loop; settings, ports, and what is shown of it
console     the pages at /ui
deploying   ``gpfn deploy``: the same REST from the other side
"""

__all__: list[str] = []
