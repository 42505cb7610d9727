"""Description of training graphs as numbers, tables and sentences; without jax."""
