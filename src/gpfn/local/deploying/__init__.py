"""Deploying from our side, for people without ``fn`` and ``wsk``: the same requests in order.

planned     what of a function's folder is sent: names, image, limits brought into their ranges
writes      a write: the request, and the commands of ``fn`` or ``wsk`` that it equals
fn          an app, its functions and their triggers, as ``fn deploy`` puts them
openwhisk   actions, as ``wsk action update`` does
"""

__all__: list[str] = []
