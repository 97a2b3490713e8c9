"""What the people who run a bridge do beside it: the commands, without their command line.

browsing    records of a topic, to look at and to send again; file_browsing those of a file
topic_span  which of them; event_files are events that people have in files
sending     events into a queue
replaying   records through a bridge's routes once more
dead_topic  dead letters, one by one: dead_facts tells why, dead_retry sends them again
group_lags  how far a group is
probing     whether what a bridge names is there
"""

__all__: list[str] = []
