"""Read a handwritten digit: a base64 image in, digits and probabilities out; needs no download."""

from gpfn import Function
from gpfn.classifier import Classifier

digits = Function(Classifier("digits"), name="digits")

handler = digits.fn  # `fdk func.py handler` and `gpfn run fn`
main = digits.openwhisk  # OpenWhisk
app = digits.asgi  # Knative, any ASGI server
