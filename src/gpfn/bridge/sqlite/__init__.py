"""A durable queue of one machine, in a file of SQLite.

source  records out of it, and sink into it, told of when they are on the disk
queue   the file, open: one thread works on it, and commits in groups
store   what that thread does; file opens and checks what it works on
topic   a topic as one source reads it; leases and owners who has what
reading what is in it, without a bridge
"""

__all__: list[str] = []
