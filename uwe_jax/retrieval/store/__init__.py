"""Target spaces in host memory and on disk: encoded once, ranked many times."""
