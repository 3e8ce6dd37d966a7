"""Raw measurements to a class: scikit-learn pipelines, exported by skl2onnx with the scaler inside the file.

wine-mlp, breast-cancer-mlp and iris-logistic compile to canonical models; breast-cancer-forest stays opaque and answers
with a string label.
"""

from __future__ import annotations

from typing import Any

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seeds.training.partition import split, write_source

OPSETS = {"": 17, "ai.onnx.ml": 3}


def export(name: str, fitted: Any, features: int) -> bytes:
    model = convert_sklearn(
        fitted,
        name=name,
        initial_types=[("features", FloatTensorType([None, features]))],
        target_opset=OPSETS,
        options={id(fitted): {"zipmap": False}},
    )
    return bytes(model.SerializeToString())


def train(name: str, bunch: Any, fitted: Any, *, string_labels: bool = False) -> None:
    part = split(bunch)
    fitted.fit(part.x_train, bunch.target_names[part.y_train] if string_labels else part.y_train)
    write_source(name, export(name, fitted, part.x_train.shape[1]), part, part.x_train.shape[1:])


def perceptron(*hidden: int) -> Any:
    return make_pipeline(StandardScaler(), MLPClassifier(hidden, alpha=1e-2, max_iter=1500, random_state=3))


def main() -> None:
    train("wine-mlp", load_wine(), perceptron(16))
    train("breast-cancer-mlp", load_breast_cancer(), perceptron(16, 8))
    train("iris-logistic", load_iris(), make_pipeline(StandardScaler(), LogisticRegression()))
    forest = RandomForestClassifier(n_estimators=25, max_depth=5, random_state=3)
    train("breast-cancer-forest", load_breast_cancer(), forest, string_labels=True)


if __name__ == "__main__":
    main()
