"""github: people who log in with a GitHub access token, if they belong to one organization.

Rules of this package:
- `api` asks GitHub and says what it answered as values; `login` is what is stored, and the routes.
- Who somebody is and which teams he is in is GitHub's word at each login and each renewal, never kept. The organization is known by its
  number: a name that was given up can be taken by somebody else.
- The caller's token goes to the configured API only, and lies in the record of the token that it gave, sealed, for renewals.
"""

from strongroom.auth.github.login import GitHub

__all__ = ["GitHub"]
