"""A back end of sentence-transformers as a process of its own, for `eval.benchmarks.rerank`.

    PYTHON eval/benchmarks/backends.py DIRECTORY torch|onnx-int8|onnx|openvino MAX_TOKENS

The packages that convert models to ONNX and OpenVINO want an older transformers than Clickwise does, so they live in
an environment of their own, and this file imports nothing of the house. After the line "ready" every line of stdin is
a JSON list of (query, text) pairs, and is answered by a line with the list of their logits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    directory, name, max_tokens = sys.argv[1:]
    from torch.nn import Identity

    model = loaded(Path(directory), name, int(max_tokens))
    print("ready", flush=True)
    for line in sys.stdin:
        scores = model.predict(json.loads(line), activation_fn=Identity(), show_progress_bar=False)
        print(json.dumps([float(score) for score in scores.reshape(-1)]), flush=True)


def loaded(directory: Path, name: str, max_tokens: int) -> Any:
    """The model in this back end, converted from the weights in the directory; int8 by dynamic quantisation."""
    from sentence_transformers import CrossEncoder

    shared: dict[str, Any] = {"max_length": max_tokens, "device": "cpu", "local_files_only": True}
    if name in ("torch", "openvino"):
        return CrossEncoder(str(directory), backend=name, **shared)
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model

    model = CrossEncoder(str(directory), backend="onnx", model_kwargs={"export": True}, **shared)
    if name == "onnx":
        return model
    export_dynamic_quantized_onnx_model(model, "avx512_vnni", str(directory))
    file = {"file_name": "onnx/model_qint8_avx512_vnni.onnx"}
    return CrossEncoder(str(directory), backend="onnx", model_kwargs=file, **shared)


if __name__ == "__main__":
    main()
