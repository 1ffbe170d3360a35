"""The spine, and what it decides by.

A request's way: `request` (the nouns), `engine` (how a path becomes a function), `core` (resolve, then run), `work` and `group` (one call,
and the calls that commit together), `transaction` over `committed` (what a call sees and stages). What it asks: `policy` (who may), `token`
(who is asking), `mounts`, `identity`, `leases`, `wrapping`, `lockout`. What it leaves behind: `audit`. The keys of all of it: `sealing`.
"""
