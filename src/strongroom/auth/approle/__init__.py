"""approle: services that log in with a role id, which names the role, and a secret id, which proves the right to it.

Rules of this package:
- A secret id has 256 random bits and is stored as a keyed hash only; it is shown once, when it is made. Its accessor names it from then on.
- Rows of secret ids and accessors lie below their role's own random key: the accessor of another role's secret id leads nowhere, and a
  role that is deleted takes its secret ids with it at once, whatever is made under its name later.
- `model` is what is stored and its rules, `store` the rows, `roles`, `fields` and `secret_ids` the routes, `login` the proof.
"""

from strongroom.auth.approle.login import AppRole

__all__ = ["AppRole"]
