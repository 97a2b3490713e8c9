"""The server's side of a model repository.

A version on its way, from the bottom of this list to the top:

    receiving      an upload -> files on the disk, hashed as they come
    archive        a bundle -> files in a folder; tar_members and zip_members read one,
                   archive_bounds has what that may cost
    intake         files -> a version, once its model has been tried
    pushing        files that come one by one, each of them once
    uploads        all of these for a server
    objects        where a repository lies; folder_objects is a folder, object_store an object
                   store, which bucket asks and whose files folder_cache has
    store          versions, tags and the trash, in documents; shelf is one model
    turns          one change of a model after the other, and how old is what a process has seen
    awake          which models are open
    repository     all of it for the loop: what protocols ask
    upkeep         what is done again and again
    settings       its bounds, and the record of who has changed what
    rate           how often a client may ask
"""

__all__: list[str] = []
