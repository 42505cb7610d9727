"""The examples of a model card, which run as they stand."""

from __future__ import annotations

from uwe_jax.runtime.printable import json_text

_USAGE = """## Usage

One vector a text, with [sentence-transformers](https://www.sbert.net):

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer({where})
queries = model.encode(["nurse"])
targets = model.encode(["care for patients", "write code"])
print(model.similarity(queries, targets))
```

The scorer it was trained with, in PyTorch alone:

```python
import sys

{hub_import}from transformers import AutoModel, AutoTokenizer

folder = {folder}
sys.path.append(folder)
from uwe_scorer import UweScorer

encoder, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
scorer = UweScorer.from_pretrained(folder)
targets = scorer.embed(encoder, tokenizer, ["care for patients", "write code"])
scores = scorer.scores(scorer.embed(encoder, tokenizer, ["nurse"]), targets)
print(scores.topk(2))
```

In JAX, with target spaces on disk, explanations and evaluation:

```python
import uwe_jax

ranker = uwe_jax.load({where})
space = ranker.encode_targets(["care for patients", "write code"])
print(ranker.rank("nurse", space, top_k=2))
```"""

_ONNX = """

The encoder without PyTorch, by ONNX Runtime (token embeddings, for texts of at most {max_tokens} tokens):

```python
import numpy as np
import onnxruntime
{hub_import}from tokenizers import Tokenizer

folder = {folder}
tokenizer = Tokenizer.from_file(f"{{folder}}/tokenizer.json")
tokenizer.enable_truncation({max_tokens})
tokenizer.enable_padding()
encoder = onnxruntime.InferenceSession(f"{{folder}}/onnx/model.onnx")
texts = tokenizer.encode_batch(["nurse", "care for patients"])
mask = np.array([text.attention_mask for text in texts])
ids = np.array([text.ids for text in texts])
(tokens,) = encoder.run(None, {{"input_ids": ids, "attention_mask": mask}})
```"""


def usage(where: str, max_tokens: int, *, on_hub: bool, onnx: bool) -> str:
    """How the export is used from sentence-transformers, from plain PyTorch, from uwe_jax, and by ONNX Runtime.

    Args:
      where: folder or hub id that the examples load.
      max_tokens: of a text.
      on_hub: `where` is a hub id.
      onnx: the folder has the encoder as ONNX.
    """
    literal = json_text(where)  # Python reads it as the text that it is
    return (_USAGE + (_ONNX if onnx else "")).format(
        where=literal,
        folder=f"snapshot_download({literal})" if on_hub else literal,
        hub_import="from huggingface_hub import snapshot_download\n" if on_hub else "",
        max_tokens=max_tokens,
    )
