"""Hosts: they start a function as its platform would, call it, and end it.

host       the seam: a Host, an Invocation and its result; calls with their times
target     which function: its file, its folder, what func.yaml says
funcfile   func.yaml, read as Fn reads it
child      a process of its own
container  a container in a platform's sandbox; engine: docker's or podman's command line
fn, http, openwhisk  hosts that start a process; parameters: what ``wsk`` makes of -P and -p
image      hosts that start an image
remote     hosts of what runs elsewhere; fn_server, openwhisk_server: clients of their rest

Which platform has which host is in gpfn.platforms.table.
"""

__all__: list[str] = []
