"""jwt and oidc: machines and people who log in with what an issuer of theirs says about them.

Rules of this package:
- One engine under two kinds, as in Vault: what a mount can do depends on its configuration and roles, not on its kind.
- `config`, `roles`, `claims`, `redirects` and `state` are what is stored or sent and its rules, pure; `store` the rows and the check of a
  token, `flows` those of browser logins; `provider` and `page` the other two sides of these; `configuring`, `login`, `browser` and
  `cel` the routes, the last with its programs in `conditions`.
"""

from strongroom.auth.jwt.browser import Browser
from strongroom.auth.jwt.cel import Cel
from strongroom.auth.jwt.configuring import Configuring

__all__ = ["Jwt", "Oidc"]


class Jwt(Configuring, Cel, Browser, kind="jwt", family="auth"):
    """Log in with a JSON Web Token, or in a browser through OpenID Connect."""


class Oidc(Jwt, kind="oidc", family="auth"):
    """Log in in a browser through OpenID Connect, or with a JSON Web Token."""
