"""Texts that nobody is shown: the values of secrets that this process has read.

Errors and the log pass through here. A value is found as it is, as JSON and as an address
spell it, and line by line; one of fewer than four characters is not looked for, for it would
be found in every other word.
"""

__all__ = ["HIDDEN", "hidden", "hidden_bytes", "hide"]

_LEAST = 4
HIDDEN: list[tuple[str, str]] = []
"""What is hidden, the longest first, with what is shown in its place; mostly nothing is."""


def hide(value: str, shown: str) -> None:
    """Let ``shown`` stand for a value, from now on, wherever errors or the log have it."""
    from json import dumps
    from urllib.parse import quote, quote_plus

    forms = {value, value.strip(), *value.splitlines()}
    forms |= {_told(form) for form in forms if "://" in form}
    forms |= {spell(form) for form in forms for spell in (quote, quote_plus)}
    forms |= {dumps(form, ensure_ascii=plain)[1:-1] for form in forms for plain in (True, False)}
    known = dict(HIDDEN) | {form: shown for form in forms if len(form) >= _LEAST}
    HIDDEN[:] = sorted(known.items(), key=lambda pair: -len(pair[0]))


def _told(url: str) -> str:
    """Return an address as messages have it: without user, password and query."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def hidden(text: str) -> str:
    """Return a text without the values that are hidden."""
    for value, shown in HIDDEN:
        if value in text:
            text = text.replace(value, shown)
    return text


def hidden_bytes(data: bytes) -> bytes:
    """Return UTF-8 without the values that are hidden."""
    return hidden(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")
