"""What training graphs hold: measured piece by piece, as numbers, tables and sentences; without jax."""
