"""`vqc compare`: one picture through several codecs at the same number of bytes."""
