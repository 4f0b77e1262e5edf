"""The networks of shipped models without torch, which takes longer to import than a picture to compress.

linear.py     the linear path, and how weights are taken from a model
photo.py      the `photo` network at a quality, as operators of ONNX: analysis, synthesis, and what a synthesis loses
graph.py      operators one after the other      gradient.py   and backwards
onnx_file.py  operators as the bytes of an ONNX model
transform.py  all of it, as a codec wants it, run by ONNX Runtime
"""
