"""Images of functions and zips of actions: what is in them, and building them.

recipe        what an image is, and its Dockerfile
context       the folder that an engine builds from
stage         the steps inside the build; they need Python's standard library only
models, bake  which models a function may use; putting them beside it
image         what the engine says of a built image
package       an action's zip; dependencies: the packages in it
facts, doctor what fails on which platform
health        an image's HEALTHCHECK
"""

__all__: list[str] = []
