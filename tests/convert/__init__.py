"""Models of other frameworks: converted, and asked the same on both sides."""
