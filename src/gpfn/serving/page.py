"""The page at / for people: which models are served, and how to ask them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpfn.serving.service import Service

__all__ = ["front_page"]


def front_page(service: Service) -> bytes:
    """Return the page: HTML, UTF-8."""
    rows = "".join(
        f"<tr><td>{escape(entry.name)}</td><td>{escape(entry.version)}</td></tr>"
        for entry in service.library.index()
    )
    return f"<!doctype html><title>gpfn</title><table>{rows}</table>".encode()
