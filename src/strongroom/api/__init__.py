"""Codecs: bytes of a dialect to a Request, a Response or an error back to bytes."""
