"""Read a handwritten digit: a base64 image in, digits and probabilities out; needs no download."""

from gpfn import Function
from gpfn.classifier import Classifier

classifier = Classifier("digits")

digits = Function(
    classifier.predict,
    model="catalogue:digits",
    takes="payload",
    before=classifier.prepare,
    after=classifier.rank,
    on_open=classifier.open,
    name="digits",
)

handler = digits.fn  # `fdk func.py handler` and `gpfn run fn`
main = digits.openwhisk  # OpenWhisk
app = digits.asgi  # Knative, any ASGI server
