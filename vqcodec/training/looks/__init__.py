"""Training of a model's synthesis for how pictures look."""
