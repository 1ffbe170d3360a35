"""The process: sockets, TLS, committing, configuration, logs, metrics."""
