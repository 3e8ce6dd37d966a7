"""Node: what runs models. Requests are checked (intake), answered (infer) and remembered (jobs); signing is handed in."""
