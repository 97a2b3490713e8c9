"""Files of JSON lines as a queue of the bridge, and pipes.

source      records out of one, and sink to the end of one
reader      a path's lines, over what happens to its file; cursor is how far they are done
line_file   the end of a file that lines are written to
lines       lines out of bytes
dead_lines  a dead letter, whole, as a line
"""

__all__: list[str] = []
