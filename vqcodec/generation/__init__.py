"""The second use of a codebook: a model learns sequences of indices and makes new ones, which a decoder shows.

sequences.py    index tensors [P, h', w'] as sequences, and back
transformer.py  a small causal Transformer over them
learning.py     its training
generator.py    a generator: Transformer, what it was trained on, and its file
distance.py     how far two sets of pictures are apart
run.py          all of it for a model and a data set: generator, page of samples, table
"""
