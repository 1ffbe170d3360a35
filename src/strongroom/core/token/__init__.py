"""Who is asking.

`entry` is what a token is. `tokens` finds, makes, renews and revokes them: `rows` is where they lie, `kept` what is remembered of those
that were found, `batch` the kind that is not stored, `removal` what becomes of one that ended. What a token may be when it is asked for:
`creation` by another token, `roles` by a token role, `parameters` by an auth method's configuration, and for all of them the times and
kinds of `terms`.
"""
