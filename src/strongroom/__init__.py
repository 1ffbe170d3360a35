"""strongroom: a self-hosted secrets manager that Vault's clients use unchanged."""

__version__ = "0.1.0"
