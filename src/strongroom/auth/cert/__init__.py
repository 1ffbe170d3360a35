"""cert: machines that log in with the certificate of their TLS connection.

Rules of this package:
- The listener asked for the certificate, and the handshake proved its key; whether it means anything is decided here, per role, at login.
- A role trusts a CA for what it signed, and a certificate that is no CA for itself, byte for byte. Who it is comes from the certificate
  that was verified, never from another one beside it.
- Revocation is looked up in what is stored and, where a role says so, by OCSP; what cannot be found out refuses, unless the role says not.
- `config` and `roles` are what is stored, `matching` a certificate's names under a role, `crls` and `ocsp` revocation, `login` the proof.
"""

from strongroom.auth.cert.login import Cert

__all__ = ["Cert"]
