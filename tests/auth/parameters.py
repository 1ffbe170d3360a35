"""Token parameters as a role or user of any method is written with, and tells them again."""

from __future__ import annotations

from typing import Any, Final

PARAMETERS: Final[dict[str, Any]] = {
    "token_ttl": 600,
    "token_max_ttl": 1_200,
    "token_explicit_max_ttl": 9_000,
    "token_period": 0,
    "token_num_uses": 7,
    "token_policies": ["a", "b"],
    "token_bound_cidrs": ["10.0.0.0/8", "127.0.0.1"],
    "token_no_default_policy": True,
    "token_strictly_bind_ip": False,
    "token_type": "service",
}
