"""Images of functions and zips of actions: what is in them, and building them.

recipe        what an image is, and its Dockerfile
context       the folder that an engine builds from
stage         the steps inside the build; they need Python's standard library only
models, bake  which models a function may use; putting them beside it
needs         which runtimes and packages a function needs; imports: what files import;
              model_files: which models they name
image         what the engine says of a built image
conflicts     requirements that cannot be met together
package       an action's zip; dependencies: the packages in it; entry: what is called
facts, doctor what fails on which platform; image_rules, package_rules: more of its rules
keys          what in its files looks like a key
trial         whether a function can answer; measure: how it starts and answers on each
              platform, which confined makes as strict as it is; sample: what they ask
health        an image's HEALTHCHECK
"""

__all__: list[str] = []
