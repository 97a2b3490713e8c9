"""Name what is in a photo: a base64 image in, class names and probabilities out."""

from gpfn import Function
from gpfn.classifier import Classifier

classifier = Classifier("mobilenet_v2", "mobilenet_v1")  # the first is the default

classify = Function(
    classifier.predict,
    model="catalogue:mobilenet_v2",
    takes="payload",
    before=classifier.prepare,
    after=classifier.rank,
    on_open=classifier.open,
    name="classify",
)

handler = classify.fn  # `fdk func.py handler` and `gpfn run fn`
main = classify.openwhisk  # OpenWhisk
app = classify.asgi  # Knative, any ASGI server
