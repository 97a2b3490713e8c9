"""NATS JetStream as a queue of the bridge.

source    records out of it, by a durable consumer, and sink into it
settings  what a bridge is told of it, and streams which names that means there
client    one connection; link is one that is made again, direct one for a question
message   a record as a message, and back
pull      what a consumer is given; held and tries what became of it
outbox    what a sink has published and is not confirmed
read      records, topics and lag without a bridge
"""

__all__: list[str] = []
