"""Rate, distortion and what a codebook does, beside other codecs."""
