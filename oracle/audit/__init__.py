"""The audit log: a C2SP tiled transparency log of what was asked, answered and decided, and its verification by a stranger.

    Entry → record (leaf) → tiles → Checkpoint → Anchor        written by `log`, served by `server`
    source → tree, note, proof → verify                        read by an auditor who trusts neither

The page with the formats, example bytes and the numbered steps of a verification is `docs/audit-log.md`.
"""
