"""The .vqc file: header, sections, entropy coder. Imports neither torch nor Pillow."""
