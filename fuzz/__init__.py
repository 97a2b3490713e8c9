"""Fuzzing of every parser: what it takes, what it must never do, and the runner.

    targets   a row a parser: its modules, its seeds, and a function that checks one input
    seeds     good inputs of each kind, small
    harness   one input at a time: accepted, refused, or a finding
    run       the program: ``python fuzz/run.py --seconds 180 [TARGET ...]``

Of whatever bytes, a parser raises classes of ``gpfn.errors`` only, whose text is short and
printable, within a second of processor time; what it has read it reads again from what its
encoder writes of it.
"""
