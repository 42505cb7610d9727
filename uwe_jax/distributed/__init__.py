"""Training on several devices and processes: collectives, gradient caching, joining, heartbeats and stopping."""
