"""Training again and again: whenever the files of a folder change, one training at a time.

    watched_folder  which files there are, whether they are whole, and what is in them
    journal         what has been trained, pushed or has failed, on disk
    child           a training in a process of its own
    keeper          the last good model on disk
    retraining      the loop over all of these

What a training is, and where a model is pushed to, are functions that are handed in: nothing here
knows a framework or a repository.
"""

__all__: list[str] = []
