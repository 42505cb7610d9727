"""The same encoder twice, in transformers and here, and what both make of a padded block of token ids."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import transformers
from optional_torch import torch
from tiny_encoder import tiny_config

from uwe_jax.models.config import EncoderConfig
from uwe_jax.models.encoder import Encoder
from uwe_jax.models.families.registry import FAMILIES
from uwe_jax.models.weights import Params, params_to_hf

CLASSES = {
    name: tuple(getattr(transformers, each.torch_class.replace("Model", kind)) for kind in ("Config", "Model"))
    for name, each in FAMILIES.items()
}
# Of constructors: some families have no pooler.
WITHOUT_POOLER = {
    name: {"add_pooling_layer": False}
    for name, (_, model) in CLASSES.items()
    if "add_pooling_layer" in inspect.signature(model).parameters
}


def build_torch(architecture: str, config: dict[str, Any]) -> torch.nn.Module:
    """The model of a Hugging Face config, without a pooler, in evaluation mode."""
    config_class, model_class = CLASSES[architecture]
    hf_config = config_class(**config, attn_implementation="eager")
    return model_class(hf_config, **WITHOUT_POOLER.get(architecture, {})).eval()


def random_torch(architecture: str, **changes: Any) -> torch.nn.Module:
    """A tiny model; every parameter is random, also those that start as zero or one."""
    config = replace(tiny_config(architecture, vocab_size=50), heads=4, intermediate=24)
    torch.manual_seed(0)
    model = build_torch(architecture, config.to_hf() | changes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def state(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def padded(rows: list[np.ndarray], length: int, pad: int, *, left: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and mask of a block, padded on the right or on the left."""
    token_ids = np.full((len(rows), length), pad, np.int32)
    mask = np.zeros((len(rows), length), bool)
    for row, ids in enumerate(rows):
        columns = slice(length - len(ids), length) if left else slice(0, len(ids))
        token_ids[row, columns] = ids
        mask[row, columns] = True
    return token_ids, mask


def torch_hidden(model: torch.nn.Module, token_ids: np.ndarray, mask: np.ndarray) -> torch.Tensor:
    ids = torch.from_numpy(token_ids.astype(np.int64))
    return model(ids, attention_mask=torch.from_numpy(mask.astype(np.int64))).last_hidden_state


def assert_same(
    model: torch.nn.Module, config: EncoderConfig, params: Params, token_ids: np.ndarray, mask: np.ndarray
) -> None:
    """Last hidden states of real tokens and the gradients of every parameter agree within 1e-4."""
    theirs = torch_hidden(model, token_ids, mask)
    weights = np.random.default_rng(1).standard_normal(theirs.shape).astype(np.float32)
    weights *= mask[:, :, None] / mask.sum()
    model.zero_grad()
    (theirs * torch.from_numpy(weights)).sum().backward()
    their_grads = {name: p.grad.numpy() for name, p in model.named_parameters()}

    encoder = Encoder(config)

    def loss(params: Params) -> tuple[jax.Array, jax.Array]:
        hidden = encoder.apply({"params": params}, jnp.asarray(token_ids), jnp.asarray(mask))
        return jnp.sum(hidden * weights), hidden

    grads, ours = jax.jit(jax.grad(loss, has_aux=True))(params)
    np.testing.assert_allclose(
        np.asarray(ours)[mask], theirs.detach().numpy()[mask], rtol=0, atol=1e-4, err_msg="hidden states"
    )
    our_grads = params_to_hf(grads, config)
    assert our_grads.keys() == their_grads.keys()
    for name, expected in their_grads.items():
        np.testing.assert_allclose(our_grads[name], expected, rtol=0, atol=1e-4, err_msg=name)
    # Against comparing zeros with zeros: all but the key biases, which attention is blind to, must move.
    idle = [name for name, grad in their_grads.items() if np.abs(grad).max() < 1e-3]
    assert all(name.endswith(("key.bias", "attn.k.bias", "k_lin.bias")) for name in idle), idle
