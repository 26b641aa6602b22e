"""Train the small model that ships with hitherto, on the Python standard library's own source text.

Run it from anywhere as `python scripts/train_demo.py`; with `--checkpoints FOLDER` it writes the weights of steps 100
and 1000 there and ends. It needs no download: the text is the top-level `*.py` modules of the running interpreter's
standard library, every tenth of which is held out. A one-layer LSTM learns to predict the next character, on one CPU
thread, with a fixed seed. The weights and 64 stretches of held-out text land in `src/hitherto/embedded`.
"""

import argparse
import hashlib
import io
import math
import os
import platform
import sysconfig
import time
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

TARGET = Path(__file__).resolve().parents[1] / "src" / "hitherto" / "embedded"
SYMBOLS, HIDDEN = 64, 128
OTHER = "\N{REPLACEMENT CHARACTER}"  # stands for every character outside the alphabet
HOLD_OUT_EVERY = 10  # files
STRETCHES, STRETCH_LENGTH = 64, 1200
SEED, STEPS, STREAMS, SPAN = 0, 6_000, 32, 128
PEAK_RATE, WARMUP, CLIP = 5e-3, 200, 1.0
DECAY = 0.05  # weight decay: keeps idle cells from counting without end
FORGET_STATE = 0.02  # chance, each span, that a stream starts afresh
SIZE_LIMIT = 480_000  # bytes, both files together
EARLY = (100, 1000)  # steps whose weights are kept, if wanted

State = tuple[Tensor, Tensor]


def standard_library() -> list[str]:
    """Text of each top-level module, by name, without tests and without the file generated at build time."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = []
    for path in paths:
        if not path.name.startswith(("test", "_sysconfigdata")):
            with tokenize.open(path) as file:
                texts.append(file.read())
    return texts


def encode(text: str, alphabet: str) -> Tensor:
    index = {symbol: i for i, symbol in enumerate(alphabet)}
    other = index[OTHER]
    return torch.tensor([index.get(symbol, other) for symbol in text], dtype=torch.uint8)


def build() -> nn.ModuleDict:
    """The model, its forget gates biased open at first so that it can find long lags."""
    model = nn.ModuleDict({"lstm": nn.LSTM(SYMBOLS, HIDDEN), "readout": nn.Linear(HIDDEN, SYMBOLS)})
    with torch.no_grad():
        model["lstm"].bias_ih_l0[HIDDEN : 2 * HIDDEN] += 1
    return model


def spans(tokens: Tensor, streams: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and next characters, (time, stream), walking parallel contiguous streams once."""
    length = len(tokens) // streams
    columns = tokens[: length * streams].view(streams, length).T.long()
    return zip(columns[:-1].split(SPAN), columns[1:].split(SPAN), strict=True)


def loss_of(model: nn.ModuleDict, inputs: Tensor, targets: Tensor, state: State | None) -> tuple[Tensor, State]:
    """Mean cross-entropy in nats, and the state to carry on from."""
    hidden, state = model["lstm"](one_hot(inputs, SYMBOLS).float(), state)
    return cross_entropy(model["readout"](hidden).flatten(0, 1), targets.flatten()), state


@torch.no_grad()
def bits_per_character(model: nn.ModuleDict, tokens: Tensor, streams: int = STREAMS) -> float:
    """Mean over the text cut into equal streams, each read from the zero state to its end."""
    state, total, count = None, 0.0, 0
    for inputs, targets in spans(tokens, streams):
        loss, state = loss_of(model, inputs, targets, state)
        total, count = total + loss.item() * targets.numel(), count + targets.numel()
    return total / count / math.log(2)


def rate(step: int) -> float:
    """Learning rate as a share of its peak: a short linear warm-up, then a cosine down to zero."""
    return min(1.0, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / STEPS)) / 2


def train(model: nn.ModuleDict, tokens: Tensor, held_out: Tensor, checkpoints: Path | None = None) -> None:
    """All steps, or those up to the last checkpoint that is wanted."""
    last = EARLY[-1] if checkpoints else STEPS
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    start, step, recent = time.perf_counter(), 0, []
    while step < last:
        state = None
        rotated = tokens.roll(int(torch.randint(len(tokens), ())))  # each pass cuts its streams elsewhere
        for inputs, targets in spans(rotated, STREAMS):
            if state:  # carried on, but now and then a stream starts afresh
                keep = (torch.rand(STREAMS, 1) >= FORGET_STATE).float()
                state = state[0].detach() * keep, state[1].detach() * keep
            loss, state = loss_of(model, inputs, targets, state)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            recent.append(loss.item() / math.log(2))
            step += 1
            if checkpoints and step in EARLY:
                write(checkpoints / f"step{step}.safetensors", save(weights_of(model)))
            if step % 1000 == 0 or step == STEPS:
                bits, spent = bits_per_character(model, held_out), time.perf_counter() - start
                training = sum(recent) / len(recent)
                print(f"{step=:5}  {spent:5.0f} s  bits/char: training {training:.3f}, held-out {bits:.3f}")
                recent.clear()
            if step == last:
                break


def weights_of(model: nn.ModuleDict) -> dict[str, Tensor]:
    """As safetensors wants them."""
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def stretches(texts: list[str], alphabet: str) -> np.ndarray:
    """Disjoint stretches, none across two files, spread over the texts that carry no notice of their own."""
    plain = [text for text in texts if "copyright" not in text.lower()]
    pieces = [t[i : i + STRETCH_LENGTH] for t in plain for i in range(0, len(t), STRETCH_LENGTH)]
    pieces = [piece for piece in pieces if len(piece) == STRETCH_LENGTH]
    chosen = [pieces[i * len(pieces) // STRETCHES] for i in range(STRETCHES)]
    return np.stack([encode(piece, alphabet).numpy() for piece in chosen])


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded model")
    parser.add_argument("--checkpoints", type=Path, help="only write the weights of early steps to this folder")
    checkpoints = parser.parse_args().checkpoints
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)

    texts = standard_library()
    held_out_texts = texts[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
    training_texts = [text for i, text in enumerate(texts, 1) if i % HOLD_OUT_EVERY]
    training_text, held_out_text = "".join(training_texts), "".join(held_out_texts)
    counts = Counter(training_text)
    by_frequency = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
    alphabet = "".join(by_frequency[: SYMBOLS - 1]) + OTHER
    tokens, held_out = encode(training_text, alphabet), encode(held_out_text, alphabet)
    coverage = (tokens != SYMBOLS - 1).float().mean().item()
    print(f"{len(training_texts)} files, {len(tokens):,} characters to train on")
    print(f"{len(held_out_texts)} files, {len(held_out):,} characters held out")
    print(f"the alphabet covers {coverage:.2%} of the training text")

    model = build()
    train(model, tokens, held_out, checkpoints)
    if checkpoints:
        return
    bits = bits_per_character(model, held_out)
    kept = stretches(held_out_texts, alphabet)
    kept_bits = bits_per_character(model, torch.from_numpy(kept).flatten(), STRETCHES)
    print(f"held-out {bits:.3f} bits/char; the {STRETCHES} stretches, from the zero state, {kept_bits:.3f}")

    metadata = {
        "description": "Next-character LSTM trained on the source text of the Python standard library",
        "held_out_bits_per_character": f"{bits:.4f}",
        "alphabet_coverage": f"{coverage:.4f}",
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
        "training": f"{STEPS} AdamW steps, {STREAMS} streams of {SPAN} characters with carried state, "
        f"cosine decay from {PEAK_RATE}, weight decay {DECAY}, gradients clipped at {CLIP}, "
        f"a stream's state zeroed with probability {FORGET_STATE} each span",
        "seed": str(SEED),
        "training_text_sha256": hashlib.sha256(training_text.encode()).hexdigest(),
        "text_license": "PSF-2.0: top-level modules of the Python standard library, every tenth held out",
    }
    archive = io.BytesIO()
    np.savez_compressed(archive, tokens=kept, alphabet=np.array(list(alphabet)))
    files = {
        "python_source_lstm.safetensors": save(weights_of(model), metadata),
        "python_source.npz": archive.getvalue(),
    }
    total = sum(map(len, files.values()))
    if total > SIZE_LIMIT:
        raise SystemExit(f"{total:,} bytes is over the limit of {SIZE_LIMIT:,}")
    for name, content in files.items():
        write(TARGET / name, content)
        print(f"{name}: {len(content):,} bytes")
    print(f"together {total:,} bytes, limit {SIZE_LIMIT:,}")


if __name__ == "__main__":
    main()
