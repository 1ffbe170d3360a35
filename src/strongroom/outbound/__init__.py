"""The one guarded way to other hosts: client.py for HTTP, dialer.py for other protocols. Nothing else in the server opens a connection."""
