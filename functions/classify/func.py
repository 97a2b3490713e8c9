"""Name what is in a photo: a base64 image in, class names and probabilities out."""

from gpfn import Function
from gpfn.classifier import Classifier

classify = Function(
    Classifier("mobilenet_v2", "mobilenet_v1"), name="classify"
)  # the first is the default

handler = classify.fn  # `fdk func.py handler` and `gpfn run fn`
main = classify.openwhisk  # OpenWhisk
app = classify.asgi  # Knative, any ASGI server
