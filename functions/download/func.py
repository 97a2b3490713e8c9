"""Fetch pictures: addresses in, image files out, with what went wrong for each of them."""

from gpfn import Function
from gpfn.classy.download import Downloader

download = Function(Downloader(), name="download")

handler = download.fn  # `fdk func.py handler` and `gpfn run fn`
main = download.openwhisk  # OpenWhisk
app = download.asgi  # Knative, any ASGI server
