"""gcp: service accounts and machines of Google Cloud that log in with a token which Google, or their own key at Google, signed.

    iam    a service account's own token (signJwt), or the identity token of a machine that runs as it
    gce    the identity token of a machine, with what Google says of the machine

Rules of this package:
- Everything is judged by what the token says. Vault also asks Google's IAM and compute APIs whether account and machine still exist and
  what labels and groups they have; this server does not, and says so where a role needs it.
- What a token says of a machine counts only if Google signed it. An account can sign anything with a key of its own, the claims about a
  machine included (CVE-2020-16251).
- `config` and `roles` are what is stored and its rules, `tokens` what tokens must say, all pure; `login` puts them together.
"""

from strongroom.auth.gcp.login import Gcp

__all__ = ["Gcp"]
