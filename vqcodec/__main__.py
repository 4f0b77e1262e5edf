"""python -m vqcodec is vqc."""

from vqcodec.cli import main

main()
