"""The protocols of a proof, one a file: configuration, prove and verify side by side."""
