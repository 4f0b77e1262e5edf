"""docs/reproduction.md from what a work folder holds: the papers' tables again, and one plot for each data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vqcodec.errors import InputError, OutputError
from vqcodec.evaluation.eval.plots import rendered
from vqcodec.files import atomic_write, check_output, read_file
from vqcodec.reproduction import figures, markdown, paper_tables, plot, results
from vqcodec.reproduction.lossless import FORMATS
from vqcodec.reproduction.paper_tables import PaperTable
from vqcodec.reproduction.results import Values
from vqcodec.reproduction.runs import Entry, distinct, entries

TITLE = "# The papers' tables again, in bytes"
PLOTS = "results"
_PREFACE = """\
Written by `vqc reproduce TABLE... --data FOLDER --work FOLDER --budget X`, and anew from what was measured by
`vqc reproduce --report --work FOLDER`. Network, loss and optimizer are those of the papers' published code
(`vqcodec/networks/vqvae.py`, `vqcodec/training/papers/settings.py`); settings and published figures of the
rows are in `vqcodec/reproduction/paper_tables/*.toml`.

**photos.** The papers' larger pictures are photographs of 256 × 256. In their place stand whole tiles of that size, cut
from the top left of whatever photographs were at hand; a picture is one tile. The network is the papers' VQGAN
(`vqcodec/networks/vqgan.py`, d = 256, a sixteenth of the side), but the loss is the squared error as everywhere here,
without the perceptual and the adversarial part except where a row says so. Published figures are of other pictures, so
what can be compared is the order of the methods.

**photos64.** The tiles of photos, each reduced to 64 × 64 by means of 4 × 4 pixels, with the network of CIFAR-10, for
`vqc generate` (tokens.md).

**ffhq, imagenet, celebahq, ade20k, coco, cub, lsun.** Tables of these have rows for whoever has the sets, laid out as
they come (`vqcodec/training/pictures/large_sets.py` says how): `vqc reproduce looc-2 --data FOLDER --only ffhq`. A
picture is read when its batch is asked for; its shorter side is resized to 256, and the middle is shown. Network and
loss are those of photos, except where a row says so. PNG and WebP are of 1,000 test pictures at most. LooC's table 11
is of pictures drawn by latent diffusion; here it is the autoencoder whose indices `vqc generate` learns (tokens.md).

**Epochs.** The papers train for 500. A budget of X is X × 500 epochs of the training pictures at hand, of which there
may be fewer than in the official set. With fewer epochs PSNR and SSIM are lower bounds of what a method reaches, a
difference from the paper says little about either, and rows of a large batch have had few steps. Rows of a table are
compared at one budget, which is said above them; rows of other budgets stand below, apart.

**quick.** Rows of this name are the same network, codebook and loss, trained so that few epochs are enough: the
nearest codevector, batches of 8, a learning rate of 0.001 that falls along half a cosine, Adam's second moments
forgotten faster, the quantizer's loss at four times its weight, and in VQ, CVQ, PQ, LooC and the random restarts
codebooks that are moving averages of what chose them (`QUICK` in `reproduction/paper_tables.py`). Exceptions: the rows
of CVQ-VAE's tables 3, 4c and 4d whose anchors or matching are by cosine keep it; PQ as released keeps cosine and its
loss; Gumbel, SQ-VAE, HVQ-VAE and LFQ keep the weight of their losses; Gumbel, SQ-VAE, HVQ-VAE, Reg-VQ and VQ-WAE begin
with latents of mean 0 and variance 1 and with codevectors among them, the variance of SQ-VAE begins at 20 and moves 20
times as fast, and the sharpness of Gumbel and Reg-VQ is 0.1; FSQ has no search; Dual has its loss at the usual weight,
a Transformer of 1 layer of width 512, and a local codebook of moving averages. These rows compare methods with one
another at one budget; the others compare with what was published.

**quick on photos.** The network has an eighth of the published width, training shows crops of 64 × 64 of the tiles,
another in each epoch, and all rows begin with the same network: the one that LooC 256 × 4 without beta has after 15
epochs, which are not among those of the rows. It was trained for LooC's many indices, and methods of few have to change
more of it.

**Pictures.** Figures are means over the exact test pictures, of models as they are in their files, in eval mode. `PSNR`
is of the 8-bit pixels that a decoder shows. `L1`, `SSIM` and `PSNR, papers'` are taken the papers' way: original
and reconstruction are cut down to whole values, written as JPEG of quality 75, read back, and compared in RGB;
SSIM has windows of 11 × 11 equal weights. `paper` is what was published, `difference` what was measured the papers'
way less that. LPIPS and rFID are not measured: they need networks whose weights are not part of this package.

**Codevectors.** `usage` is the share of codevectors that an index of the test pictures names. Where units have books
of their own, `perplexity` is the mean of theirs.

**Bits.** `bpp, paper` is m h w log2 K over the pixels of a picture; `bpp, decoder` is what a decoder needs at fixed
length, beta² times as much where beta² indices are stored. All K but VQCT's 6,207 are powers of two, of which whole
bits are no more. `bpp, file` is the mean .vqc file of a test picture, whole; `bpp, payload` the indices in it, coded
by tables that were counted on the training pictures. In files this small the header weighs much.
"""

Found = dict[str, Values]


def write(work: Path, output: Path, own: Sequence[PaperTable] = ()) -> int:
    """Write the report, and the plots into a folder beside it; return how many runs it has.

    `own` are tables beside the shipped ones. InputError where nothing was measured yet; an existing file is replaced
    if it is such a report.
    """
    check_replaceable(output)
    tables = [*paper_tables.shipped(), *own]
    all_of_them = [entry for table in tables for entry in entries(table)]
    found = _found(work, all_of_them)
    if not found:
        raise InputError(f"{work} holds no results of vqc reproduce; name a table to begin with, such as looc-1")
    chosen = [entry for entry in all_of_them if entry.run is not None and entry.run.name in found]
    datasets = dict.fromkeys(entry.dataset for entry in chosen)
    parts = [TITLE, "", _PREFACE]
    for dataset in datasets:
        lossless = results.read_lossless(work, dataset)
        runs = distinct([entry for entry in chosen if entry.dataset == dataset])
        figure = plot.draw(dataset, [(run, found[name]) for name, (run, _) in runs.items()], lossless)
        _write(output.parent / PLOTS / _plot_name(output, dataset), rendered(figure, "png"))
        parts += _dataset_section(dataset, sorted({found[name]["data"] for name in runs}), lossless, output)
    for table in tables:
        if any(entry.table is table for entry in chosen):
            parts += _table_section(table, found, output)
    _write(output, ("\n".join(parts)).encode())
    return len(found)


def check_replaceable(output: Path) -> None:
    """Raise OutputError where a report cannot be written: no folder, or another file is there."""
    check_output(output, force=True)
    if output.exists() and not read_file(output).startswith(TITLE.encode()):
        raise OutputError(f"{output} is there and is not a report of vqc reproduce; choose another name with -o")


def _found(work: Path, chosen: Sequence[Entry]) -> Found:
    """Return what was measured, by the names of runs."""
    found = {name: results.read_run(work, name) for name in distinct(chosen)}
    return {name: values for name, values in found.items() if values is not None}


def _plot_name(output: Path, dataset: str) -> str:
    return f"{output.stem}-{dataset}.png"


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made a folder: {error.strerror}") from error
    with atomic_write(path, force=True) as file:
        file.write(data)


def _dataset_section(dataset: str, texts: list[str], lossless: Values | None, output: Path) -> list[str]:
    lines = [f"## {dataset}", "", *(f"{text}." for text in texts)]
    if lossless is not None:
        sizes = [_size(kind.label, lossless["bytes"][kind.name], lossless["pixels"]) for kind in FORMATS]
        lines.append(f"Without loss a test picture takes {' and '.join(sizes)} on average.")
    picture = f"{PLOTS}/{_plot_name(output, dataset)}"
    return [*lines, "", f"![PSNR against bytes per picture on {dataset}]({picture})", ""]


def _size(label: str, size: float, pixels: int) -> str:
    return f"{size:,.0f} bytes as {label} ({8 * size / pixels:.2f} bpp)"


def _table_section(table: PaperTable, found: Found, output: Path) -> list[str]:
    """Return a table on each data set of which anything was measured."""
    said = " ".join(text for text in (f"{table.source}." if table.source else "", table.note) if text)
    lines = [f"## {table.name}: {table.title}", "", *([said, ""] if said else [])]
    for dataset in table.datasets:
        chosen = [entry for entry in entries(table) if entry.dataset == dataset]
        if not any(name in found for name in distinct(chosen)):
            continue
        lines += [f"### {table.name} on {dataset}", ""]
        for said, part in markdown.by_budget(chosen, found):
            lines += [said, "", *markdown.rows(part, found), ""]
        lines += _figure(table, chosen, found, output) if table.figure else []
        shared = markdown.sharing(chosen, found)
        lines += ["How units share codevectors (LooC, Figures 7 and 8):", "", *shared, ""] if shared else []
    return lines


def _figure(table: PaperTable, chosen: Sequence[Entry], found: Found, output: Path) -> list[str]:
    """Draw what a table is drawn as on a data set; return the lines that show it."""
    figure = figures.draw(table.name, table.figure, chosen, found)
    if figure is None:
        return []
    dataset = chosen[0].dataset
    picture = f"{PLOTS}/{_plot_name(output, f'{table.name}-{dataset}')}"
    _write(output.parent / picture, rendered(figure, "png"))
    return [f"![{table.title}, on {dataset}]({picture})", ""]
