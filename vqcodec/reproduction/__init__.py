"""The papers' tables again, on whole test sets and in bytes of real files.

paper_tables/*.toml     paper_tables.py  rows: settings beside the published figures
  | runs.py             which rows on which data sets; a run that several rows share is one
  | workbench.py        trains what is missing, or goes on with it
work/NAME.safetensors
  | measure.py          the whole test set: scores.py, usage, bytes; lossless.py for PNG and WebP
work/NAME.json          results.py
  | report.py, plot.py
reproduction.md, results/reproduction-NAME.png
"""
