"""The line the data walks, one file per process; the only place that imports several stages.

    Request → Inference → Claim → Evidence → Delivery → (contracts) → Receipt → Entry → Checkpoint → Anchor
      node       node      node     attest      relay                   relay     audit     audit       audit

`node.answer` is the first half of it as calls in order, `relay` the second; `log` keeps what both tell it, `audit` walks the whole line
backwards. Nothing is re-exported here: importing one process does not import the others.
"""
