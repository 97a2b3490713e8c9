"""OpenWhisk on one machine: its REST as unmodified ``wsk`` and other clients speak it.

    naming       names, and the paths that they make
    records      actions, packages, triggers and rules as values
    limits       what an action may ask for, and how large what is stored may be
    reading      from a client's JSON to what it changes
    executable   from a client's JSON to an action's code
    changing     what an entity is after a change
    documents    from entities to the JSON that clients are sent
    shelf        where they lie in the state
    referring    whether what an entity refers to is there
    entities     all of them in the state, and how they refer to one another
    refusing     what is wrong with a request, in the platform's words
    asking       one request as its routes see it, and the table of routes
    api          the key, routes, and answers on a server
    listing      how a list is asked for
    managing     the routes of actions and packages; linking has those of triggers and rules,
                 describing what the server says of itself
    context      what an action is sent with /init and /run
    results      from what a process answered to an activation's response
    log_lines    the log of an activation as it is stored
    activations  their records in the state
    recording    what is remembered of a call
    running      one activation of one action
    sequences    actions one after the other
    invoking     who waits for an activation, and for how long
    answering    the route of invocations; firing has that of triggers, recalling those of
                 activations, web those of web actions
    web_arguments, web_answers   from a request to a web action's arguments, and back
    service      all that is called, put together

Messages and documents are those of apache/openwhisk 1fae641.
"""

__all__: list[str] = []
