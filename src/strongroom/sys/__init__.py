"""The routes below `sys/`, a file per noun. Each file has a class of routes; `system.py` finds them all and makes one engine of them."""
