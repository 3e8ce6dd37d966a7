"""What slither found, held against what was looked at. Called by `contracts/tools/slither`; standard library alone, Python 3.11.

A finding is counted under its detector and the function it is in (`Contract.function`), so that moving a line changes nothing and a
second finding in a function that has a reviewed one is seen.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

MIN_REASON_CHARACTERS = 20


def place_of(element: dict[str, Any]) -> str:
    """`Contract.function` of slither's element: a function, or a variable or statement in one; `Contract` where it is in no function."""
    names: list[str] = []
    while element:
        if element["type"] in ("function", "contract"):
            names.append(element["name"])
        element = element.get("type_specific_fields", {}).get("parent", {})
    return ".".join(reversed(names))


def count_found(report: dict[str, Any]) -> Counter[tuple[str, str]]:
    """How many findings of each detector are in each place. ValueError where slither says that it failed."""
    if not report.get("success"):
        raise ValueError(f"slither failed: {report.get('error')}")
    return Counter((found["check"], place_of(found["elements"][0])) for found in report["results"].get("detectors", []))


def count_reviewed(reviewed: dict[str, Any]) -> Counter[tuple[str, str]]:
    """The same of the list. ValueError where an entry has no reason, counts nothing, or repeats another's."""
    counted: Counter[tuple[str, str]] = Counter()
    for entry in reviewed["reviewed"]:
        if len(entry["reason"].strip()) < MIN_REASON_CHARACTERS:
            raise ValueError(f"{entry['check']}: a reason is expected, got {entry['reason']!r}")
        for place, number in entry["findings"].items():
            key = (entry["check"], place)
            if key in counted or number < 1:
                raise ValueError(f"{key[0]} in {place}: expected once and with a number above zero")
            counted[key] = number
    return counted


def differences(report: dict[str, Any], reviewed: dict[str, Any]) -> list[str]:
    """A line for every place where more or less is found than was reviewed; none when all is as it was."""
    found, known = count_found(report), count_reviewed(reviewed)
    lines = []
    for check, place in sorted(found.keys() | known.keys()):
        seen, expected = found[check, place], known[check, place]
        if seen != expected:
            lines.append(f"{check} in {place}: reviewed {expected}, found {seen}")
    return lines


def main(arguments: list[str]) -> int:
    """Ends with 1 after naming the differences on stderr, and what slither says where there is more than was reviewed."""
    report = json.loads(Path(arguments[0]).read_text())
    reviewed = tomllib.loads(Path(arguments[1]).read_text())
    lines = differences(report, reviewed)
    new = {line.split(":")[0] for line in lines}
    for found in report["results"].get("detectors", []):
        if f"{found['check']} in {place_of(found['elements'][0])}" in new:
            sys.stderr.write(found["description"] + "\n")
    for line in lines:
        sys.stderr.write(f"slither: {line}\n")
    if not lines:
        sys.stdout.write(f"slither: {sum(count_found(report).values())} findings, each reviewed\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
