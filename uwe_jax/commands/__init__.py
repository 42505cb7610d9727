"""Commands of `uwe-jax`: one short module per command, which reads its options and calls the package that does the work."""
