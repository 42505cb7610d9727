"""Evaluation of rankings: tasks, rankers, metrics, leakage and reports."""
