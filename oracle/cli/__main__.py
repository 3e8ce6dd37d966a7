"""`python -m oracle.cli` is `affidavit`."""

from oracle.cli import main

main()
