"""Encoders as Flax Linen modules, their weight tables and where pretrained ones are found."""
