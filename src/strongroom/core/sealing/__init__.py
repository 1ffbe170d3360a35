"""The keys of the whole store, from its first commit on.

`bootstrap` is what a fresh installation gets, `unsealing` goes from sealed to open, `ceremonies` are what several key holders do together
later, `rotation` begins new epochs of the record key.
"""
