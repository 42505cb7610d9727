"""Fits and measures the calibration of an index."""
