"""Training of an autoencoder with a quantizer in the middle, as the papers do it."""
