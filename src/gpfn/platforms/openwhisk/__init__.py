"""Apache OpenWhisk's action contract: /init, /run, two streams of logs.

    runner      the process that serves one action: its socket, its signals, its end
    exchange    one action's life, as requests and answers
    settings    how much a request and a result may hold
    protocol    the bodies of /init and /run, and the replies, with the platform's words
    code        the code, baked in or from /init: put in place and imported
    folder      the folder it lies in, and taking back what was imported from there
    archive     zip and tar files of code, unpacked without escaping or exploding
    action      a loaded action: opened, called
    result      what an action may return, and the error for what it may not
    activation  the circumstances of a call, as __OW_* variables and as a value
    streams     stdout and stderr with the sentinel after each activation
    log         what they tell of a gpfn Function: stages, memory, failures
    adapter     a gpfn Function as ``main(args)``
    webaction   web requests, triggers and Kafka batches in an action's parameters
    webbody     their bodies, as text or base64

Everything here is written after the contract that is summed up in docs/openwhisk.md.
"""

__all__: list[str] = []
