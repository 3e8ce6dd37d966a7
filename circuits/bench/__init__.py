"""What proofs cost, beside ezkl on the same files. `scripts/bench proofs`, or `affidavit bench proofs`.

A model under measurement is a folder: the float ONNX file, real inputs for it, and what either side makes of them.
"""

MODEL_FILE, SAMPLES_FILE = "model.onnx", "samples.npy"
