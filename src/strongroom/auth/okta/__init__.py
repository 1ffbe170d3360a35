"""okta: people who log in with the name and password that Okta knows, and a second factor where Okta wants one.

Rules of this package:
- `api` asks Okta and says what it answered as values; `config` and `mappings` are what is stored and its routes, `login` the login.
- A password goes to Okta's authentication API only; it is never kept. Renewals ask by the API token instead.
- Somebody is one alias however he spells his name: the one that Okta answers with, in lower case.
"""

from strongroom.auth.okta.login import Okta

__all__ = ["Okta"]
