"""Training on several devices: what a step takes, as a model and as a measurement."""
