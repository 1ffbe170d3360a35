"""Where ciphertext rests: one small protocol (`api`) and a file per kind of store."""
