"""Secrets engines, a file or folder per kind; a file's name is its kind."""
