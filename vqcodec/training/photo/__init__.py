"""Training of the photo network by rate and distortion, one model for every rate."""
