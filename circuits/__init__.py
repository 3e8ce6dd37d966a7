"""The proof system: integer networks, proven."""
