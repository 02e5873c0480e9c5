#!/usr/bin/env python3
"""Writes a checkpoint as EasyLM does for a LLaMA model: real Flax encoding, real names, random float32 weights.

    python3 make_llama_checkpoint.py --out streaming_params
    python3 make_llama_checkpoint.py --train-state --hidden 512 --layers 4 --vocab 8000 --out streaming_train_state

Needs numpy, msgpack and flax. The same arguments give the same bytes.
"""
import argparse
import os
import sys
import tempfile

import msgpack
import numpy as np
from flax import serialization


def llama_shapes(hidden, layers, vocab):
    """Key -> shape of every parameter of EasyLM's FlaxLLaMAForCausalLM, in the order of its tree."""
    # As Meta's models have it: two thirds of four times the hidden size, rounded up to a multiple of 256.
    inner = (8 * hidden // 3 + 255) // 256 * 256
    shapes = {("transformer", "wte", "embedding"): (vocab, hidden)}
    for layer in range(layers):
        block = ("transformer", "h", str(layer))
        for name in ("wq", "wk", "wv", "wo"):
            shapes[block + ("attention", name, "kernel")] = (hidden, hidden)
        shapes[block + ("feed_forward", "w1", "kernel")] = (hidden, inner)
        shapes[block + ("feed_forward", "w2", "kernel")] = (inner, hidden)
        shapes[block + ("feed_forward", "w3", "kernel")] = (hidden, inner)
        shapes[block + ("attention_norm", "kernel")] = (hidden,)
        shapes[block + ("ffn_norm", "kernel")] = (hidden,)
    shapes[("transformer", "ln_f", "kernel")] = (hidden,)
    shapes[("lm_head", "kernel")] = (hidden, vocab)
    return shapes


def leaves(shapes, train_state, seed):
    """(key, value) of the flattened tree, one leaf in memory at a time."""
    rng = np.random.default_rng(seed)

    def weights(shape, scale=0.02):
        # Norms begin as ones, like in a model that was just made.
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        array = rng.standard_normal(shape, dtype=np.float32)
        array *= np.float32(scale)
        return array

    if not train_state:
        for key, shape in shapes.items():
            yield key, weights(shape)
        return
    # The Flax TrainState of optax.chain(clip_by_global_norm, adamw) with a schedule, as its state dict is flattened.
    yield ("step",), np.array(1000, np.int32)
    for key, shape in shapes.items():
        yield ("params", "params") + key, weights(shape)
    adam = ("opt_state", "1", "0")
    yield adam + ("count",), np.array(1000, np.int32)
    for key, shape in shapes.items():
        yield adam + ("mu", "params") + key, weights(shape, 1e-4)
    for key, shape in shapes.items():
        yield adam + ("nu", "params") + key, np.square(weights(shape, 1e-4))
    yield ("opt_state", "1", "2", "count"), np.array(1000, np.int32)


def write_stream(path, flattened):
    """The loop of EasyLM's StreamingCheckpointer, through a temporary file beside the target."""
    packer = msgpack.Packer()
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".llama-", delete=False) as stream:
        try:
            for key, value in flattened:
                stream.write(packer.pack((key, serialization.to_bytes(value))))
            stream.flush()
            os.chmod(stream.name, 0o644)
            os.replace(stream.name, path)
        except BaseException:
            os.unlink(stream.name)
            raise


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=1024, help="hidden size [%(default)s]")
    parser.add_argument("--layers", type=int, default=4, help="transformer blocks [%(default)s]")
    parser.add_argument("--vocab", type=int, default=16000, help="tokens of the vocabulary [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights [%(default)s]")
    parser.add_argument("--train-state", action="store_true", help="with step and Adam's two moments: three times the bytes")
    parser.add_argument("--out", required=True, metavar="FILE")
    arguments = parser.parse_args()
    if min(arguments.hidden, arguments.layers, arguments.vocab) < 1:
        parser.error("--hidden, --layers and --vocab must be at least 1")

    shapes = llama_shapes(arguments.hidden, arguments.layers, arguments.vocab)
    write_stream(arguments.out, leaves(shapes, arguments.train_state, arguments.seed))
    print(f"{arguments.out}: {os.path.getsize(arguments.out):,} bytes, {sum(map(np.prod, shapes.values())):,} parameters",
          file=sys.stderr)


if __name__ == "__main__":
    main()
