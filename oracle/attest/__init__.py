"""Attest: turning a claim into evidence a contract can check."""
