"""Pictures by the thousand: stages of a pipeline, each a function of arrays.

`download` turns addresses into image files, `prepare` image files into a model's input. Both
are handler objects: ``Function(Downloader())`` is a whole function, which a model server serves
as a model. What fails fails for its own picture alone, with a text that says why.

    source      one picture from one address: the policy, what it may be, the cache
    cache       pictures on disk, by the address they came from
    crew        threads that fetch for all calls of a process, so many at a time for each host
    client      thousands of pictures to a pipeline: batches, calls at a time, what fails
    asked       who is asked: servers, or a pipeline of this process
    answers     what an answer says of each picture

Nothing heavy is imported until it is used.
"""

__all__: list[str] = []
