"""Snapshots of a serving store: taken on demand and by a schedule, kept in places, put back.

The file itself is `barrier/snapshots`; routes are `sys/snapshots.py` and `sys/snapshot_schedules.py`.
"""
