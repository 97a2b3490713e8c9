"""Apache OpenWhisk's action contract: /init, /run, two streams of logs.

    runner      the process that serves one action: its socket, its signals, its end
    server      one action's life, as requests and answers
    protocol    the bodies of /init and /run, and the replies, with the platform's words
    action      the code, baked in or from /init: put in place, imported, called, removed
    archive     zip and tar files of code, unpacked without escaping or exploding
    activation  the circumstances of a call, as __OW_* variables and as a value; limits
    streams     stdout and stderr with the sentinel after each activation
    answer      from parameters to a result by way of a gpfn Function, and what the log tells
    adapter     a gpfn Function as ``main(args)``
    web         what is mixed in parameters: web requests, triggers, Kafka batches, events

Everything here is written after the contract that is summed up in docs/openwhisk.md.
"""

__all__: list[str] = []
