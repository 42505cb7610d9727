"""The former place of `uwe_jax.config`; removed in the next release."""
