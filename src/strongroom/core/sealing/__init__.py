"""The keys of the whole store, from its first commit on.

`bootstrap` is what a fresh installation gets, `unsealing` goes from sealed to open (`state` is what a process knows meanwhile),
`ceremonies` are what several key holders do together later: a `rekey`, a `root_generation`. `rotation` begins new epochs of the record key.
"""
