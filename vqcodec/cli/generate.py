"""vqc generate: new pictures out of a codebook."""

from __future__ import annotations

from pathlib import Path

import click

from vqcodec.cli.console import EXIT_INTERRUPTED, AnyPath, name_of, print_error, print_result
from vqcodec.errors import OutputError


@click.command("generate")
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="FOLDER", type=AnyPath(), required=True, help="Folder with the data sets.")
@click.option("--only", "name", metavar="NAME", required=True, help="Data set: mnist, cifar10, photos64 ...")
@click.option(
    "-o", "--output", "folder", metavar="FOLDER", type=AnyPath(), default="generation", show_default=True,
    help="For the generator, the page and the table.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(min=0), default=3000, show_default=True, help="Length of the training.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Sequences in a step.")
@click.option("--width", type=int, default=192, show_default=True, help="Width of the Transformer.")
@click.option("--layers", type=int, default=4, show_default=True, help="Its layers.")
@click.option(
    "--count", type=click.IntRange(min=0), default=2000, show_default=True, help="Pictures to measure; 0: none."
)
@click.option(
    "--temperature", type=float, default=1.0, show_default=True, help="0.01 to 100; below 1 likelier indices are drawn."
)
@click.option("--top", type=click.IntRange(min=0), default=0, help="Draw of so many likeliest indices alone.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other samples.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
@click.option("-f", "--force", is_flag=True, help="Replace a generator that was made otherwise, or files of none.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def command(
    model: str,
    data: Path,
    name: str,
    folder: Path,
    steps: int,
    batch: int,
    width: int,
    layers: int,
    count: int,
    temperature: float,
    top: int,
    seed: int,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Let a small Transformer learn the indices of MODEL on a data set, and draw new pictures.

    FOLDER gets the generator, which is not trained again as long as model, set, size and run are the
    same; a page of samples; and how far samples, reconstructions and others are from test pictures.
    After Ctrl-C the same command goes on. docs/tokens.md says what all that shows.

    \b
    vqc generate cvq.safetensors --data sets/ --only fashion -o fashion/
    vqc generate cvq.safetensors --data sets/ --only fashion -o fashion/ --seed 7 --temperature 0.9 --count 0
    """
    from vqcodec.codec import Codec
    from vqcodec.generation import distance
    from vqcodec.generation.learning import Schooling
    from vqcodec.generation.run import GENERATOR, PAGE, Drawing, Workplace, table
    from vqcodec.training.pictures.datasets import known_name

    if count:
        distance.require()
    drawing = Drawing(seed, temperature, top)
    place = Workplace(
        Codec.open(model), data, known_name(name), folder, {"width": width, "layers": layers}, threads or 0
    )
    place.check_model()
    if count:
        place.check_count(count)
    schooling = Schooling(steps, batch)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made a folder: {error.strerror}") from error
    transformer = place.bring(schooling, force)
    if transformer is None:
        print_error("interrupted; the same command goes on")
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    place.page(transformer, drawing)
    values = place.measure(transformer, schooling, drawing, count) if count else {}
    if as_json:
        print_result({"generator": str(folder / GENERATOR), "page": str(folder / PAGE), **values})
        return
    for line in table(values) if values else []:
        print_result(line)
    said = f", {values['bits_per_index']:.2f} bits for an index of a test picture" if values else ""
    print_result(f"{name_of(folder / PAGE)}: samples of {name_of(folder / GENERATOR)}{said}")
