"""What stands in a bundle's README.txt: what this is and what to do, for somebody who has never heard of it."""

from __future__ import annotations

from textwrap import dedent

from oracle.records import Checkpoint

_TEXT = """\
EVIDENCE BUNDLE
===============

About:  {subject}
Log:    {origin}, as it was at {size} records

This is a copy of records from an audit log, with everything needed to check, without the log and without its operator:

  * that they stand in the log's signed tree exactly as they are here;
  * where there are several of one call, that none between the first and the last one here is left out;
  * that the tree is an extension of those that the chain recorded, and so older than their blocks (where it was anchored);
{chain}  * {content}

How to check it
---------------

You need Python 3.9 or newer, and the package `cryptography` (python3 -m pip install cryptography). No network.

    python3 verify.py

It says, step by step, what it checked and what it did not, and ends with a verdict. The exit code is 0 where everything that it
could check holds, 2 where something is false, 3 where the bundle cannot be used.

If you do not trust who gave you this bundle, do not use the verify.py in it: take the one that the project publishes (it is the
file oracle/audit/bundle_verify.py, byte for byte) and give it this bundle:

    python3 bundle_verify.py PATH-TO-THIS-BUNDLE

A bundle cannot vouch for itself
--------------------------------

The script ends with a short list of things that only you can compare, because a forger could have written them here too: the
log's key, the addresses of contracts, and hashes of blocks. Ask a source that is not the maker of this bundle (your own file
from an earlier audit, a node or block explorer that you trust), and give what you learn:

    python3 verify.py --vkey KEY --anchor-key ADDRESS --coprocessor ADDRESS --audit-anchor ADDRESS --block-hash HASH

Then that list is empty. What the script lists as not checked stays so: a node, or the model's files, are needed for it.

What is where
-------------

    manifest.json     what this bundle is about, and the SHA-256 of every other file
    checkpoint        the log's signed tree head (C2SP tlog-checkpoint)
    records/          the records, byte for byte; the number is the place in the log
    proofs/           the proof that each is in the tree (C2SP tlog-proof)
    anchors/          tree heads that the chain accepted, and proofs that the tree only grew since
    chain/            transactions and receipts, with proofs that lead to the hash of their block
    openings/         fields that stand in a record as a salted commitment, opened
    bodies/           inputs, outputs and signatures, named by their Keccak-256 digest
"""

_CHAIN = """\
  * that the call was asked, answered, signed and accepted by the contract as its records say (where the chain's evidence is here);
"""


def write_readme(kind: str, subject: str | int, checkpoint: Checkpoint, with_content: bool) -> str:
    """The text. It has no time in it: the same bundle has the same bytes."""
    about = {"call": f"call {subject} on the chain", "outside_call": f"call {subject}", "record": f"record {subject}"}[kind]
    content = (
        "that the content here (openings, bodies) is what the records commit to. It may be personal or confidential: keep it so."
        if with_content
        else "and no content: inputs, outputs and sealed fields stand in the records as digests only."
    )
    chain = _CHAIN if kind == "call" else ""
    return dedent(_TEXT).format(subject=about, origin=checkpoint.origin, size=checkpoint.size, chain=chain, content=content)
