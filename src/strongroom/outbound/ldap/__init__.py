"""LDAP version 3 (RFC 4511), as much as a login needs: simple bind, search, StartTLS.

Rules of this package:
- `ber`, `names`, `filters` and `messages` are pure: bytes and texts in, values out. Only `connection` has a socket.
- What a stranger typed never becomes syntax: it enters a filter as octets, and a name escaped (RFC 4514).
- A directory is not trusted: whatever it sends is bounded in size, depth and time, and referrals are not followed.
"""
