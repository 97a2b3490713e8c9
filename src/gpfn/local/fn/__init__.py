"""Fn's REST on a laptop: apps, functions, triggers, and the calls of functions.

entities    apps, functions and triggers in the state
documents   their JSON forms, and what is wrong with one that was sent
errors      what an Fn server says, word by word
api         the routes
invoke      POST /invoke/ID and ANY /t/APP/SOURCE
"""

__all__: list[str] = []
