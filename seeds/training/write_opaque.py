"""The two models that stay opaque, as directories a node serves: the ONNX file, and a manifest binding onnxruntime and its settings."""

from __future__ import annotations

from oracle.node.models import write_opaque_manifest
from seeds.training.partition import SEEDS

OPAQUE = ("breast-cancer-forest", "digits-cnn")


def main() -> None:
    for name in OPAQUE:
        folder = SEEDS / "models" / name
        directory = write_opaque_manifest(folder / "source.onnx", folder / "opaque", name)
        print(f"{name}: opaque model 0x{directory.model_id.hex()}")


if __name__ == "__main__":
    main()
