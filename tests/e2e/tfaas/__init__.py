"""The recorded calls of TFaaS's real clients, made again byte for byte."""
