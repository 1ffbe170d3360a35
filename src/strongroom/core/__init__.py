"""The spine: `request` (the nouns), `engine` (how a path becomes a function), `policy`, `tokens`, `mounts`, and `core`, one way through."""
