"""Compile the seed models that can be canonical, and write what the compiler reports beside them."""

from __future__ import annotations

import json

import numpy as np
from rich.console import Console

from circuits import CanonicalModel, compile_model
from seeds.training.partition import SEEDS

LABELS = {
    "digits-mlp": tuple("0123456789"),
    "wine-mlp": ("class_0", "class_1", "class_2"),
    "breast-cancer-mlp": ("malignant", "benign"),
    "iris-logistic": ("setosa", "versicolor", "virginica"),
}


def compile_seed(name: str) -> CanonicalModel:
    """Compile one seed model on its own calibration samples."""
    with np.load(SEEDS / "data" / f"{name}.npz") as data:
        held_back = (data["x_held_back"], data["y_held_back"])
        source = SEEDS / "models" / name / "source.onnx"
        return compile_model(source, data["x_calibration"], name=name, labels=LABELS[name], held_back=held_back)


def main() -> None:
    console = Console(width=120)
    for name in LABELS:
        model = compile_seed(name)
        assert model.report is not None
        model.save(SEEDS / "models" / name / "canonical")
        (SEEDS / "models" / name / "report.json").write_text(json.dumps(model.report.to_json(), indent=2) + "\n")
        console.print(model.report)


if __name__ == "__main__":
    main()
