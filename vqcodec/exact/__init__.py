"""Integers, without torch: what a file says, the same on every machine."""
