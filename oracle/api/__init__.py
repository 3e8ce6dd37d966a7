"""The public HTTP door: asks, follows, receipts and proofs. Composes nothing itself; what happens is in `oracle.pipeline.api`."""
