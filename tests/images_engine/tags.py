"""What the images are called that the tests build and the benchmark measures."""

from pathlib import Path

__all__ = ["PREFIX", "tag_of"]

PREFIX = "gpfn-test"


def tag_of(function: str, platform: str, *options: str) -> str:
    """Return the tag of ``gpfn build FUNCTION --platform PLATFORM OPTION…``."""
    words = "-".join([Path(function).name, platform, *options]).lower().replace("--", "")
    return f"{PREFIX}/{words.strip('-').replace('/', '-')}:1"
