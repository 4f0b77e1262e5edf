"""How a codebook learns; neither a file nor a decoder depends on any of it."""
