"""Who may.

`rules` reads a policy's text, with the caller's names in it (`templates`); `policies` keeps the texts, and `builtin` those that always
exist. `merging` makes one rule per pattern of several policies, `acl` compiles them and decides: `patterns` says which rule counts for a
path, `parameters` what it says of a request's fields, `listing` how much of a LIST it lets through.
"""
