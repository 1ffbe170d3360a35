"""The one guarded way to other hosts."""
