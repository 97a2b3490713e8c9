"""The event bridge: events from a queue to functions, and their answers back.

record      what a queue holds
seam        what the bridge asks of a queue: Source and Sink
spec        what a bridge is made of; config and config_routes read its file
matching    which events a route takes
retrying    when a call is made again, and when a destination is left alone
lanes       which of a route's events may be called now, so that an order is kept
intake      what was taken and is not finished, and when no more is taken
watermark   how far a partition is done, and what beyond that is
remembering  which events came before, done or under way
reading     from a record to its tasks, or to the reason why there are none
destinations  what is called; caller is a route at work, answers judges what came, and
            activations wait for results of OpenWhisk
delivering  replies and dead_letter on their way out, until the queue has them
engine      all of it together; figures are its counts, monitor shows them over HTTP
opening     from a spec to the bridge that it means

kafka, nats, sqlite and files are queues; operating is what people do beside a bridge.
"""

__all__: list[str] = []
