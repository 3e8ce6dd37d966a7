"""Print the held-back accuracy of every source model on onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from sklearn.datasets import load_breast_cancer

from seeds.training.partition import SEEDS


def measure(name: str) -> float:
    """Fraction of held-back samples whose predicted class is the true one."""
    session = onnxruntime.InferenceSession(SEEDS / "models" / name / "source.onnx", providers=["CPUExecutionProvider"])
    with np.load(SEEDS / "data" / f"{name}.npz") as data:
        x, y = data["x_held_back"], data["y_held_back"]
    first = session.run(None, {session.get_inputs()[0].name: x})[0]
    predicted = first.argmax(axis=1) if first.ndim == 2 else first
    truth = load_breast_cancer().target_names[y] if predicted.dtype == object else y
    return float(np.mean(predicted == truth))


def main() -> None:
    for folder in sorted((SEEDS / "models").iterdir()):
        print(f"{folder.name}: {measure(folder.name):.4f} of the held-back samples right (float model)")


if __name__ == "__main__":
    main()
