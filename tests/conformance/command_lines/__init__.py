"""Command lines that Vault's own program was given once, with what it did: strongroom's does the same in every run."""
