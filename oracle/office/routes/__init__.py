"""The office's routes, one file a subject. Each names the right it needs; `oracle.office.gate` holds them to it."""
