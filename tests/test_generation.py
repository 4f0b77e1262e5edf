"""Generation: a small Transformer learns sequences of indices; its samples, its file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pressing import pressed_after

from vqcodec.errors import ModelError, SettingsError
from vqcodec.generation import generator, sequences
from vqcodec.generation.generator import Purpose
from vqcodec.generation.learning import Pupil, Schooling, bits, learn
from vqcodec.generation.transformer import Sizes, Transformer
from vqcodec.training import checkpoint

SIZES = Sizes(K=7, places=12, tables=3, width=16, layers=2, heads=2)
PLANES, GRID = 3, (2, 2)


def make(sizes: Sizes = SIZES, seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(sizes).eval()


def school(transformer: Transformer, x: torch.Tensor, how: Schooling) -> list[float]:
    """The loss of each step of a whole training."""
    pupil = Pupil(transformer, how, {})
    assert learn(pupil, x, Path("none"))
    return pupil.nats


def walks(count: int, seed: int = 0) -> torch.Tensor:
    """Sequences in which each index is the one before plus 1 or 2: of log2 2 = 1 bit each but the first."""
    steps = torch.randint(1, 3, (count, SIZES.places), generator=torch.Generator().manual_seed(seed))
    return steps.cumsum(1) % SIZES.K


def test_index_tensors_become_sequences_and_come_back() -> None:
    indices = torch.arange(2 * 3 * 2 * 4).view(2, 3, 2, 4)
    found = sequences.to_sequences(indices)
    assert found[0, :6].tolist() == [0, 8, 16, 1, 9, 17], "plane after plane at each place"
    assert torch.equal(sequences.to_indices(found, 3, (2, 4)), indices)


def test_logits_depend_on_what_stands_before_alone() -> None:
    transformer, x = make(), walks(4)
    logits = transformer(x)
    assert logits.shape == (4, 12, 7)
    for place in (0, 5, 11):
        changed = x.clone()
        changed[:, place] = (changed[:, place] + 1) % SIZES.K
        differs = (transformer(changed) - logits).abs().amax((0, 2)) > 1e-6
        assert not differs[: place + 1].any() and differs[place + 1 :].all()


def test_planes_with_codebooks_of_their_own_have_vectors_of_their_own() -> None:
    shared = make(Sizes(K=7, places=12, width=16, layers=1, heads=2))
    assert (len(shared.indices.weight), len(make().indices.weight)) == (7, 21)
    with torch.no_grad():
        own = make()
        before = own(walks(2))
        own.indices.weight[7:14] *= -3
    differs = (own(walks(2)) - before).abs().amax((0, 2)) > 1e-6
    assert differs.tolist() == [False, False] + [True] * 10, "the second plane's vectors stand at 1, 4, 7, 10"


def test_the_loss_falls_to_what_sequences_cost() -> None:
    transformer = make()
    before = bits(transformer, walks(200, seed=1))
    nats = school(transformer, walks(2000), Schooling(steps=300, batch=64, learning_rate=5e-3, dropout=0.0))
    assert before == pytest.approx(np.log2(7), abs=0.05), "an untrained one knows nothing"
    assert len(nats) == 300 and np.mean(nats[-50:]) < np.mean(nats[:50]) - 0.5 and not transformer.training
    assert 0.99 < bits(transformer, walks(200, seed=1)) < 1.15


def test_samples_are_those_of_the_distribution_step_by_step_and_of_the_seed() -> None:
    transformer = make()
    school(transformer, walks(2000), Schooling(steps=200, batch=64, learning_rate=5e-3, dropout=0.0))
    drawn = transformer.sample(300, torch.Generator().manual_seed(1))
    assert drawn.shape == (300, 12) and int(drawn.min()) >= 0 and int(drawn.max()) < SIZES.K
    steps = (drawn[:, 1:] - drawn[:, :-1]) % SIZES.K
    assert ((steps == 1) | (steps == 2)).float().mean() > 0.95
    assert torch.equal(transformer.sample(300, torch.Generator().manual_seed(1)), drawn)
    assert not torch.equal(transformer.sample(300, torch.Generator().manual_seed(2)), drawn)
    # The likeliest index at each place is that of the whole pass: keys and values that were kept are the right ones.
    greedy = transformer.sample(2, torch.Generator(), top=1)
    assert torch.equal(transformer(greedy).argmax(2), greedy)
    cold = transformer.sample(50, torch.Generator().manual_seed(1), temperature=1e-6)
    assert torch.equal(cold, greedy[:1].expand(50, -1))


def test_few_long_sequences_are_worked_on_at_once() -> None:
    usual, long = Sizes(K=1024, places=49), Sizes(K=1024, places=4096)
    assert (usual.drawn_at_once, usual.measured_at_once) == (250, 250)
    assert (long.drawn_at_once, long.measured_at_once) == (10, 3)
    assert Sizes(K=65536, places=4096, width=4096, layers=64).drawn_at_once == 1


def test_learning_follows_its_seed_and_leaves_other_random_numbers_alone() -> None:
    one, two, other = make(), make(), make()
    torch.manual_seed(5)
    for transformer, seed in ((one, 3), (two, 3), (other, 4)):
        school(transformer, walks(50), Schooling(steps=3, batch=4, seed=seed))
    left = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), left)
    assert torch.equal(one.head.weight, two.head.weight) and not torch.equal(one.head.weight, other.head.weight)


def test_a_generator_comes_back_from_its_file_and_others_are_refused(tmp_path: Path) -> None:
    transformer, path = make(), tmp_path / "g.safetensors"
    purpose = Purpose("ab", "mnist: 3 pictures", SIZES, Schooling(steps=2).as_dict())
    generator.write(path, transformer, purpose)
    back, said = generator.read(path)
    assert said == purpose and not back.training
    expected = transformer.sample(3, torch.Generator().manual_seed(0))
    assert torch.equal(back.sample(3, torch.Generator().manual_seed(0)), expected)
    data = path.read_bytes()
    for damaged in (data[:-20], b"nothing", data.replace(b'"layers\\": 2', b'"layers\\": 3'), b""):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"g\.safetensors is not a generator of this vqc"):
            generator.read(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"places": 5000}, "places=5000 of a generator is outside 1..4096"),
        ({"heads": 3}, "width=16 of a generator does not divide into 3 heads"),
        ({"layers": 0}, "layers=0"),
    ],
)
def test_sizes_that_do_not_fit(values: dict[str, int], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Sizes(**(SIZES.as_dict() | values))


def test_a_resumed_training_is_the_one_that_was_not_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how, path, x = Schooling(steps=6, batch=4, dropout=0.3), tmp_path / "begun", walks(50)
    whole, first, second = (Pupil(make(), how, {"a": 1}) for _ in range(3))
    assert learn(whole, x, path) and not path.exists()
    with pressed_after(3, monkeypatch):
        assert not learn(first, x, path)
    second.load_state_dict(checkpoint.read(path))
    assert second.step == 3 and learn(second, x, path)
    assert second.nats == whole.nats and len(whole.nats) == 6
    weights = whole.transformer.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in second.transformer.state_dict().items())
