"""The server's side of a model repository.

archive        a bundle -> files in a folder
tar_members    what a tar file holds; zip_members the same of a zip
archive_bounds what reading and unpacking them may cost
"""

__all__: list[str] = []
