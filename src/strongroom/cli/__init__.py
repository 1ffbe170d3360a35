"""The command line: Vault's verbs, flags and environment over strongroom.client. `main.main` is the entry point."""
