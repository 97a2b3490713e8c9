"""Apache OpenWhisk's action contract: /init, /run, two streams of logs.

    runner      the process that serves one action: its server and its life
    protocol    the bodies of /init and /run, and the replies, with the platform's words
    action      the code: baked in or from /init, imported, called, its result checked
    archive     zip and tar files of code, unpacked without escaping or exploding
    result      what an action may return, and the error for what it may not
    streams     stdout and stderr with the sentinel after each activation
    activation  the circumstances of a call, as __OW_* variables and as a value
    adapter     a gpfn Function as ``main(args)``
    webaction   web requests, triggers and Kafka batches in an action's parameters

Everything here is written after the contract that is summed up in docs/openwhisk.md.
"""
