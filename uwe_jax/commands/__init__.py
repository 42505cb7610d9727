"""Commands of `uwe-jax`: one short module each, which reads its options and calls the package that does the work."""
