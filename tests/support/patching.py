"""How a negative control puts something careless in the place of something careful; only in a process of its own."""

from __future__ import annotations


def put(owner: object, **members: object) -> None:
    """Replace attributes of a class or module that exist."""
    for name, member in members.items():
        assert hasattr(owner, name), f"{owner} has no {name} any more: the control needs a new place"
        setattr(owner, name, member)
