"""A process to be killed: appends numbered entries without end, and prints each number when the log has acknowledged it.

`python -m tests.twins.log_writer DIRECTORY FIRST`: four threads, so that batches are being written at every moment.
"""

from __future__ import annotations

import itertools
import sys
import threading
from pathlib import Path

from tests.twins.logs import entry, open_log, secret_entry


def main() -> None:
    directory, first = Path(sys.argv[1]), int(sys.argv[2])
    log = open_log(directory)
    numbers, lock = itertools.count(first), threading.Lock()

    def write() -> None:
        while True:
            with lock:
                number = next(numbers)
            made = secret_entry(number, call=number % 5, person=f"person {number % 3}") if number % 2 else entry(number, call=number % 5)
            place = log.append("w", made, f"k{number}")
            sys.stdout.write(f"{number} {place.index} {place.leaf_hash.hex()}\n")
            sys.stdout.flush()

    for _ in range(4):
        threading.Thread(target=write).start()


if __name__ == "__main__":
    main()
