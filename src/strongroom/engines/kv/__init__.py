"""Key/value secrets: `v1` keeps one value per name, `v2` keeps versions of it. `item` is the model, `store` its rows.

Rules of this package: both versions store the same record, so a mount becomes versioned by changing its `version` option alone.
"""

from strongroom.engines.kv import v1, v2

__all__ = ["v1", "v2"]
