"""Conversations that were held with HashiCorp Vault once and are held with strongroom in every run: the same requests, the same answers."""
