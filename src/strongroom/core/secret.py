"""A credential in memory: what must not be printed, compared with `==` or pickled by accident."""

from __future__ import annotations


class Secret:
    """A text that must not be printed: repr, str and format show its length only. `reveal` returns it.

    `digest` is its keyed hash once `core.tokens` has worked it out.
    """

    __slots__ = ("_text", "digest")

    def __init__(self, text: str) -> None:
        self._text = text
        self.digest = b""

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return f"Secret({len(self._text)} characters)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        raise TypeError("secrets are compared with hmac.compare_digest")

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        raise TypeError("a Secret does not leave the process")
