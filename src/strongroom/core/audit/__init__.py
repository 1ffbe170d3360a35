"""What is written down about every request.

`broker` is the one way in. A device (`device`; `devices` is their table) turns what happened into lines (`format`, `mask`) of a stream
(`chain`) for a sink (`sink`); a signed `checkpoint` binds all streams; `verify` needs nothing but the files and a key for its `report`.
"""
