"""Sizes of the checkpoints of a training run: whole, compressed, and as exact diffs against earlier steps.

    python tests/benchmark/training_run.py --cairn build/release/bin/cairn

Trains a small transformer (PyTorch, bytes of this repository's documents, fixed seed) three times: float32 with AdamW; bfloat16
parameters with AdamW; and on from the first as fine-tuning with reinforcement learning does it, with a learning rate of 1e-6 on
float32 master weights, of which bfloat16 copies are published. Prints a Markdown table; each diff is recovered and compared.
Needs torch, safetensors, numpy, ml_dtypes and zstandard. No time is measured.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import ml_dtypes  # noqa: F401: NumPy knows bfloat16 by it.
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
import zstandard

ROOT = pathlib.Path(__file__).resolve().parents[2]
BACK = (1, 10, 100)


class Block(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm = torch.nn.LayerNorm(width)
        self.qkv = torch.nn.Linear(width, 3 * width)
        self.out = torch.nn.Linear(width, width)
        self.mlp_norm = torch.nn.LayerNorm(width)
        self.up = torch.nn.Linear(width, 4 * width)
        self.down = torch.nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.qkv(self.attention_norm(x)).chunk(3, -1))
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(torch.nn.functional.gelu(self.up(self.mlp_norm(x))))


class Model(torch.nn.Module):
    def __init__(self, width, layers, context):
        super().__init__()
        self.tokens = torch.nn.Embedding(256, width)
        self.places = torch.nn.Embedding(context, width)
        self.blocks = torch.nn.Sequential(*(Block(width, width // 64) for _ in range(layers)))
        self.norm = torch.nn.LayerNorm(width)
        self.head = torch.nn.Linear(width, 256, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def text():
    documents = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("common/**/*.md"), *ROOT.glob("*.md")])
    return torch.frombuffer(bytearray(b"".join(path.read_bytes() for path in documents)), dtype=torch.uint8).long()


def train(model, optimizer, data, steps, arguments, at_step):
    """Returns the mean loss of the first and of the last ten steps."""
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(1, steps + 1):
        starts = torch.randint(len(data) - arguments.context - 1, (arguments.batch,), generator=generator)
        windows = torch.stack([data[start : start + arguments.context + 1] for start in starts.tolist()])
        loss = torch.nn.functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1).float(), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        at_step(step)
        if step % 100 == 0:
            print(f"step {step}: loss {np.mean(losses[-10:]):.2f}", file=sys.stderr, flush=True)
    return np.mean(losses[:10]), np.mean(losses[-10:])


def optimizer_tensors(model, optimizer):
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {f"{names[parameter]}.{key}": value for parameter, state in optimizer.state.items() for key, value in state.items()}


class Files:
    """Saves what is wanted of a run."""

    def __init__(self, folder, steps):
        self.folder, self.steps = folder, {steps - back for back in (0, *BACK)}

    def save(self, step, kind, tensors):
        if step in self.steps:
            tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
            safetensors.torch.save_file(tensors, self.path(step, kind))

    def path(self, step, kind):
        return self.folder / f"{kind}-{step}.safetensors"


def planes(array):
    """The bytes of all elements, the lowest of each first: what shuffling filters do."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize)
    return [np.ascontiguousarray(data[:, plane]).tobytes() for plane in range(array.dtype.itemsize)]


def bits(array):
    return np.ascontiguousarray(array).reshape(-1).view(f"u{array.dtype.itemsize}")


def run(cairn, *command):
    subprocess.run([cairn, "--quiet", *map(str, command)], check=True, stdout=subprocess.DEVNULL)


def row(cairn, files, kind, steps, label):
    target = files.path(steps, kind)
    data = target.read_bytes()
    after = safetensors.numpy.load_file(target)
    cells = [label, f"{len(data) / 1e6:.2f} MB"]
    sizes = [len(zstandard.ZstdCompressor(level=level).compress(data)) for level in (1, 3)]
    compressor = zstandard.ZstdCompressor(level=3)
    sizes.append(sum(len(compressor.compress(plane)) for array in after.values() for plane in planes(array)))
    shares = []
    for back in BACK:
        base, diff, again = files.path(steps - back, kind), files.folder / "one.cairndiff", files.folder / "again.safetensors"
        run(cairn, "diff", base, target, "--output", diff, "--overwrite")
        run(cairn, "recover", base, diff, again, "--overwrite")
        recovered, before = safetensors.numpy.load_file(again), safetensors.numpy.load_file(base)
        assert set(recovered) == set(after)
        for name, array in after.items():
            assert recovered[name].dtype == array.dtype and recovered[name].shape == array.shape
            assert np.array_equal(bits(recovered[name]), bits(array)), name
        sizes.append(diff.stat().st_size)
        changed = sum(int((bits(before[name]) != bits(array)).sum()) for name, array in after.items())
        shares.append(changed / sum(array.size for array in after.values()))
    cells += [f"{size / len(data):.1%}" for size in sizes]
    cells.append(" / ".join(f"{share:.1%}" for share in shares))
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cairn", default=os.environ.get("CAIRN_BIN"), help="the program [CAIRN_BIN]")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    if not arguments.cairn:
        parser.error("--cairn or CAIRN_BIN must name the program")
    if arguments.steps <= max(BACK):
        parser.error(f"--steps must be above {max(BACK)}")
    torch.set_num_threads(1)  # Steps are small, and others may have the machine.
    data, steps = text(), arguments.steps
    rows, notes = [], []
    with tempfile.TemporaryDirectory(prefix="cairn-training-") as name:
        trained = None
        for dtype, short in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
            torch.manual_seed(0)
            model = Model(arguments.width, arguments.layers, arguments.context).to(dtype)
            optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)
            files = Files(pathlib.Path(name), steps)

            def save(step):
                files.save(step, "weights", dict(model.named_parameters()))
                files.save(step, "optimizer", optimizer_tensors(model, optimizer))

            first, last = train(model, optimizer, data, steps, arguments, save)
            count = sum(parameter.numel() for parameter in model.parameters())
            notes.append(f"{short}: {count:,} parameters, loss {first:.2f} -> {last:.2f}")
            rows.append(row(arguments.cairn, files, "weights", steps, f"{short} weights, lr 3e-4"))
            rows.append(row(arguments.cairn, files, "optimizer", steps, f"{short} AdamW state, lr 3e-4"))
            trained = trained or model

        optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-6, weight_decay=0.0)
        files = Files(pathlib.Path(name), steps)

        def publish(step):
            files.save(step, "published", {key: value.to(torch.bfloat16) for key, value in trained.named_parameters()})

        first, last = train(trained, optimizer, data, steps, arguments, publish)
        notes.append(f"fine-tuning: loss {first:.2f} -> {last:.2f}")
        rows.append(row(arguments.cairn, files, "published", steps, "bf16 copies of fp32 masters, lr 1e-6"))
    print("\n".join(notes) + "\n")
    names = ["what", "whole", "zstd -1", "zstd -3", "byte planes, zstd -3", *(f"diff to {back} before" for back in BACK), "values changed"]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
