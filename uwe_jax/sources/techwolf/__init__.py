"""What the authors of the paper publish on the hub to train on."""
