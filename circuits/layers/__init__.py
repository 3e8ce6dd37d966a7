"""Operators of canonical networks, one a file. `circuits/network.py` holds the registry of their descriptor codes."""
