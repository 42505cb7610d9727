"""Readers of tables: CSV, TSV, JSON lines and Parquet."""
