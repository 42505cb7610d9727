#!/usr/bin/env bash
# sentence-transformers 6.2.0: encode_document uses no prompt of a model whose prompts are named query and passage.
#
# encode_document takes the first of the prompts document, passage and corpus that the model has. Loading adds empty
# prompts named query and document to those of the folder, so "document", which is empty, always comes first, and the
# text that the folder names for passages is never put before one; encode(prompt_name="passage") does put it there.
#
# Output seen: prompts {'query': 'query: ', 'document': '', 'passage': 'passage: '}; encode_document equals encode without
# a prompt, and differs from encode with the prompt of passages.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check sentence-transformers==6.2.0
HF_HUB_OFFLINE=1 "$folder/env/bin/python" -W ignore - "$folder" <<'PY'
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

folder = Path(sys.argv[1])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "query", "passage", ":", "weld", "metal"]
(folder / "vocab.txt").write_text("\n".join(words) + "\n")
torch.manual_seed(0)
sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder / "encoder")
BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "encoder")
encoder = Transformer(str(folder / "encoder"))
prompts = {"query": "query: ", "passage": "passage: "}
SentenceTransformer(modules=[encoder, Pooling(16)], prompts=prompts, device="cpu").save(str(folder / "saved"))

model = SentenceTransformer(str(folder / "saved"), device="cpu")
print("prompts", model.prompts)
plain = model.encode(["weld metal"], prompt="")
passage = model.encode(["weld metal"], prompt_name="passage")
document = model.encode_document(["weld metal"])
print("encode_document to encode without a prompt:", float(np.abs(document - plain).max()))
print("encode_document to encode with the prompt of passages:", float(np.abs(document - passage).max()))
assert np.abs(document - plain).max() < 1e-6, "changed"
assert np.abs(document - passage).max() > 1e-3, "changed"
PY
