"""Make a model's input of image files: a row of numbers for each of them."""

from gpfn import Function
from gpfn.classy.prepare import Preprocessor

prepare = Function(Preprocessor("mobilenet_v2"), name="prepare")

handler = prepare.fn  # `fdk func.py handler` and `gpfn run fn`
main = prepare.openwhisk  # OpenWhisk
app = prepare.asgi  # Knative, any ASGI server
