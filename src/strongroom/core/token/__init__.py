"""Who is asking.

`tokens` finds, makes, renews and revokes them. What a token may be when it is asked for: `creation` by another token, `roles` by a token
role, `parameters` by an auth method's configuration, and for all of them the times and kinds of `terms`.
"""
