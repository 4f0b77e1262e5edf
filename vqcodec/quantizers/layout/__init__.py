"""What a file depends on: the settings of a quantizer, and how indices stand for latents."""
