"""A real language model for tests: flan-t5-small in int8, trained by others to give titles, decoded greedily, piece by piece.

The weights come with the package `traceforge-title-model` (MIT). Tokens are SentencePiece's unigrams: the split of a text whose pieces have
the largest sum of log probabilities, found by Viterbi (Kudo 2018).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import onnxruntime
import traceforge_title_model

END, UNKNOWN, SPACE = 1, 2, "▁"
MAX_PIECES = 24


class Titler:
    """`pieces(text)` yields the answer as it is made."""

    def __init__(self) -> None:
        folder = traceforge_title_model.span_dir()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx", options, ["CPUExecutionProvider"]) for name in ("encoder", "decoder")
        )
        vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        self._pieces = [piece for piece, _ in vocabulary]
        self._ids = {piece: (number, score) for number, (piece, score) in enumerate(vocabulary)}
        self._longest = max(map(len, self._pieces))

    def encode(self, text: str) -> list[int]:
        text = SPACE + SPACE.join(text.split())
        best: list[tuple[float, int, int]] = [(0.0, 0, UNKNOWN)]  # score, where its last piece begins, that piece
        for end in range(1, len(text) + 1):
            options = [(best[end - 1][0] - 100.0, end - 1, UNKNOWN)]
            for start in range(max(0, end - self._longest), end):
                if (found := self._ids.get(text[start:end])) is not None:
                    options.append((best[start][0] + found[1], start, found[0]))
            best.append(max(options))
        tokens, end = [END], len(text)
        while end:
            _, end, token = best[end]
            tokens.append(token)
        return tokens[::-1]

    def pieces(self, text: str) -> Iterator[str]:
        source = np.array([self.encode(text)], np.int64)
        mask = np.ones_like(source)
        (hidden,) = self._encoder.run(None, {"input_ids": source, "attention_mask": mask})
        tokens = [0]
        while len(tokens) <= MAX_PIECES:
            given = {"input_ids": np.array([tokens], np.int64), "encoder_hidden_states": hidden, "encoder_attention_mask": mask}
            (logits,) = self._decoder.run(None, given)
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] == END or tokens[-1] >= len(self._pieces):
                return
            yield self._pieces[tokens[-1]].replace(SPACE, " ")
