"""The store for several nodes: one PostgreSQL database, every node reading and writing it."""
