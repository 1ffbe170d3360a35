"""The only layer that encrypts: keys, seals, the authenticated index, and the View that engines get."""
