"""The policies every installation has.

`root` has no rules: being root is a flag of the token (core/policy/acl.py ROOT_ACL). `default` may be edited but not deleted.
`response-wrapping` is what wrapping tokens carry; nobody can be given it and nobody can change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEFAULT: Final = """\
# What every token may do for itself. Edit it, or create tokens with no_default_policy.

# The token: look at it, extend it, give it up, ask what it may do.
path "auth/token/lookup-self"         { capabilities = ["read"] }
path "auth/token/renew-self"          { capabilities = ["update"] }
path "auth/token/revoke-self"         { capabilities = ["update"] }
path "sys/capabilities-self"          { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl"  { capabilities = ["read"] }

# Its leases, for those who know the lease id.
path "sys/renew"         { capabilities = ["update"] }
path "sys/leases/renew"  { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }

# Its owner's entity.
path "identity/entity/id/{{identity.entity.id}}"     { capabilities = ["read"] }
path "identity/entity/name/{{identity.entity.name}}" { capabilities = ["read"] }

# Its private storage.
path "cubbyhole/*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "scan"] }

# Wrapping: pass a secret on, check and open one that was received.
path "sys/wrapping/wrap"   { capabilities = ["update"] }
path "sys/wrapping/lookup" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }

# Hashes and random bytes say nothing about others.
path "sys/tools/hash"   { capabilities = ["update"] }
path "sys/tools/hash/*" { capabilities = ["update"] }

# Signing in elsewhere with an identity from here.
path "identity/oidc/provider/+/authorize" { capabilities = ["read", "update"] }
"""

RESPONSE_WRAPPING: Final = """\
path "cubbyhole/response"  { capabilities = ["create", "read"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
"""

ROOT: Final = ""

BUILTIN: Final[Mapping[str, str]] = {"default": DEFAULT, "response-wrapping": RESPONSE_WRAPPING, "root": ROOT}
UNEDITABLE: Final = frozenset({"root", "response-wrapping"})
UNDELETABLE: Final = frozenset(BUILTIN)
