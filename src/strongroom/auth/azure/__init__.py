"""azure: machines and services that log in with a token of Microsoft Entra ID, as a managed identity gets one.

Rules of this package:
- Everything is judged by what the token says. Vault asks Azure's compute API about the machine that a caller names; this server does not,
  so nothing that a caller sends beside the token counts (CVE-2025-3879): it must be what the token says, or is left out.
- `config` and `roles` are what is stored and its rules, `resource` the resource ids in tokens, all pure; `login` puts them together.
"""

from strongroom.auth.azure.login import Azure

__all__ = ["Azure"]
