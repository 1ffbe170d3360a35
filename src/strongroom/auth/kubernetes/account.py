"""Which service account a token says it is of, in both forms that Kubernetes has signed.

    legacy      "kubernetes.io/serviceaccount/namespace": …, "kubernetes.io/serviceaccount/service-account.name": …
    projected   "kubernetes.io": {"namespace": …, "serviceaccount": {"name": …, "uid": …}}

Rules of this file:
- A token has one of the forms. Names obey the grammar of Kubernetes or are refused: they become part of paths.
- Two forms in one token is none: which of them the cluster goes by is not ours to guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from strongroom.crypto.errors import InvalidToken

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_UID = re.compile(r"[A-Za-z0-9-]{1,128}", re.ASCII)
_SECRET = re.compile(r"[a-z0-9.-]{0,253}", re.ASCII)

_LEGACY = "kubernetes.io/serviceaccount/"


class Account(NamedTuple):
    """A service account. `secret` names the Secret that a legacy token lies in."""

    namespace: str
    name: str
    uid: str
    secret: str = ""


def account(claims: Mapping[str, Any]) -> Account:
    """The account that verified or unverified claims name. Raises InvalidToken."""
    projected = claims.get("kubernetes.io")
    legacy = [name for name in claims if name.startswith(_LEGACY)]
    if projected is not None and legacy:
        raise InvalidToken("the token names its service account twice")
    if isinstance(projected, dict) and isinstance(projected.get("serviceaccount"), dict):
        inner = projected["serviceaccount"]
        return _checked(projected.get("namespace"), inner.get("name"), inner.get("uid"), "")
    names = ("namespace", "service-account.name", "service-account.uid")
    return _checked(*(claims.get(_LEGACY + name) for name in names), claims.get(_LEGACY + "secret.name", ""))


def _checked(*values: object) -> Account:
    texts = [value for value in values if isinstance(value, str)]
    grammars = (_LABEL, _NAME, _UID, _SECRET)
    if len(texts) != len(grammars) or not all(grammar.fullmatch(text) for grammar, text in zip(grammars, texts, strict=True)):
        raise InvalidToken("the token does not name a service account of Kubernetes")
    return Account(*texts)


def reviewed(username: str, uid: str) -> Account:
    """The account that the cluster says a token is of. Raises InvalidToken."""
    parts = username.split(":")
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        raise InvalidToken("the cluster knows the token as somebody who is no service account")
    return _checked(parts[2], parts[3], uid, "")
