"""`vqc eval`: bytes against quality, beside other codecs."""
