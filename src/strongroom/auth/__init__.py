"""Auth methods, a file per kind; a file's name is its kind."""
