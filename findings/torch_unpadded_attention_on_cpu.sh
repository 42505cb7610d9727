#!/usr/bin/env bash
# torch 2.13.0 on a CPU: of the two ways to attend within unpadded texts, one has no kernel, and the other refuses the
# usual split of one projection.
#
# `torch.nn.attention.varlen.varlen_attn` of packed texts raises NotImplementedError. `scaled_dot_product_attention` of
# jagged nested tensors raises RuntimeError where query, key and value are chunks of one projection, which dense tensors
# may be; of contiguous copies of the same chunks it works.
#
# Output seen: "varlen_attn: NotImplementedError", "chunks: RuntimeError: No viable backend for
# scaled_dot_product_attention was found." and "contiguous copies: works".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
"$folder/env/bin/python" -W ignore - <<'PY'
import logging

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

logging.disable(logging.WARNING)
torch.manual_seed(0)
texts = [torch.randn(tokens, 3 * 2 * 8) for tokens in (3, 4)]  # query, key and value of 2 heads of width 8
ends = torch.tensor([0, 3, 7], dtype=torch.int32)


def outcome(attend):
    try:
        attend()
    except (NotImplementedError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "works"


def heads(chunks):
    return [chunk.unflatten(-1, (2, 8)).transpose(1, 2) for chunk in chunks]


packed = [chunk.unflatten(-1, (2, 8)) for chunk in torch.cat(texts).chunk(3, -1)]
varlen = outcome(lambda: varlen_attn(*packed, ends, ends, 4, 4))
jagged = torch.nested.nested_tensor(texts, layout=torch.jagged).chunk(3, -1)
chunks = outcome(lambda: scaled_dot_product_attention(*heads(jagged)))
copies = outcome(lambda: scaled_dot_product_attention(*heads(chunk.contiguous() for chunk in jagged)))
dense = outcome(lambda: scaled_dot_product_attention(*heads(texts[0][None].chunk(3, -1))))
print("varlen_attn:", varlen.partition(":")[0])
print("chunks:", chunks)
print("contiguous copies:", copies)
assert varlen.startswith("NotImplementedError"), "changed"
assert chunks == "RuntimeError: No viable backend for scaled_dot_product_attention was found.", "changed"
assert (copies, dense) == ("works", "works"), "changed"
PY
