"""A whole network on one machine: chain, contracts, operators, relay, log and API as processes of their own.

`processes` starts and stops them, `network` lays one out, `story` is what `affidavit demo` tells. The acceptance tests and the
benchmarks run on the same network.
"""
