"""Pure functions over bytes."""
