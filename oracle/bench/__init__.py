"""What it costs: tables, measured on this machine in one run. `scripts/bench`, or `affidavit bench`."""
