"""strongroom: a self-hosted secrets manager that Vault's clients use unchanged."""

__version__ = "0.1.0"
VAULT_VERSION = "1.18.0"
"""The version of Vault whose API this is; clients decide by it what they may ask."""
