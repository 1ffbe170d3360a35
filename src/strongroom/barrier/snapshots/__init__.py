"""Snapshots: a store as of one commit, as one sealed and signed file."""
