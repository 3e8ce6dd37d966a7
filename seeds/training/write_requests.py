"""A few held-back samples per model with their true labels: what the demo and a first-time user ask about."""

from __future__ import annotations

import json

import numpy as np

from seeds.training.partition import SEEDS

SAMPLES = 5


def main() -> None:
    for file in sorted((SEEDS / "data").glob("*.npz")):
        with np.load(file) as data:
            inputs, truth = data["x_held_back"][:SAMPLES], data["y_held_back"][:SAMPLES]
        samples = [{"input": x.tolist(), "true_class": int(y)} for x, y in zip(inputs, truth, strict=True)]
        content = json.dumps({"model": file.stem, "samples": samples}, separators=(",", ":"))
        (SEEDS / "requests" / f"{file.stem}.json").write_text(content + "\n")


if __name__ == "__main__":
    main()
