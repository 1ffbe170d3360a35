"""ldap: people who log in with the name and password that a directory knows.

Rules of this package:
- A name is canonical before anything else happens (core/lockout.py): it is ASCII and counts without case, as it does in the directory.
- Whether a name exists, is locked or has another password is not told from each other; the directory is asked as often in each case.
- A password goes to the directory and nowhere else: it is never stored, so a renewal asks as the mount's own account.
- `config` is what is stored and its rules, `directory` the conversation with a directory, `mappings` the routes of local users and
  groups, `login` the proof.
"""

from strongroom.auth.ldap.login import Ldap

__all__ = ["Ldap"]
