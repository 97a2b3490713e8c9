"""Apache Kafka as a queue of the bridge, and as a broker for development.

source     records out of it, by a consumer group, and sink into it
client     the client library's settings, errors and log, which both share
group      how a member of a group is made; member is one at work, in the event loop
consumer   the thread that polls for a member; messages are what comes of it
partition  one while it is ours, and commits of what is done of it
admin      topics, rights, offsets and lag; range reads records without a group
handled    which dead letters of a topic were dropped
broker     a real one on this machine, of the programs that jars fetches
"""

__all__: list[str] = []
