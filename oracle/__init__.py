"""The service: from a request to an anchored log entry."""

import os
import sys

import py_ecc  # noqa: F401, eth-account imports it, and its import raises the recursion limit to 100,000

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""onnxruntime 1.29 and later report the models they load to their maker, unless this is set before they are imported."""

sys.setrecursionlimit(1_000)
"""Python's own default. With the other one, a kilobyte-deep JSON body ("[[[[…") overflows the C stack of the parser and kills the process
instead of raising RecursionError; every door and every reader of a peer's answer relies on that error."""
