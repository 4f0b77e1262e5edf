"""`vqc analyze`: what a codebook does."""
