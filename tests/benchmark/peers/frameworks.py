"""How others save a tree of arrays to a disk, and load all of it again: each as its users do, and made durable. What was
loaded is touched, page by page, before the clock stops.

    python frameworks.py FRAMEWORK save|load PATH BYTES SEED
"""

import sys

import numpy as np
from new_memory import make_free, touch
from payload import model, sync
from stopwatch import Stopwatch, print_result


def flat(tree):
    return {f"params.{name}.kernel": layer["kernel"] for name, layer in tree["params"].items()}


class Safetensors:
    def __init__(self, tree):
        self.arrays = flat(tree)

    def save(self, path):
        from safetensors.numpy import save_file

        save_file(self.arrays, path)

    def load(self, path):
        from safetensors.numpy import load_file

        return load_file(path)


class TorchSave:
    def __init__(self, tree):
        import torch

        self.state = {name: torch.from_numpy(array) for name, array in flat(tree).items()}

    def save(self, path):
        import torch

        torch.save(self.state, path)

    def load(self, path):
        import torch

        return {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}


class Dcp(TorchSave):
    """torch.distributed.checkpoint, one process, into the tensors of a state that is there."""

    def save(self, path):
        from torch.distributed import checkpoint

        checkpoint.save(self.state, checkpoint_id=path, no_dist=True)

    def load(self, path):
        from torch.distributed import checkpoint

        checkpoint.load(self.state, checkpoint_id=path, no_dist=True)
        return {name: tensor.numpy() for name, tensor in self.state.items()}


class Orbax:
    def __init__(self, tree):
        self.tree = tree

    def save(self, path):
        import orbax.checkpoint as ocp

        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(path, self.tree)

    def load(self, path):
        import orbax.checkpoint as ocp

        with ocp.PyTreeCheckpointer() as checkpointer:
            return flat(checkpointer.restore(path))


class EasyLm:
    """A stream of msgpack pairs, key path and packed leaf, made and taken apart with flax and msgpack."""

    def __init__(self, tree):
        self.tree = tree

    def save(self, path):
        import flax
        import msgpack

        packer = msgpack.Packer()
        leaves = flax.traverse_util.flatten_dict(flax.serialization.to_state_dict(self.tree))
        with open(path, "wb") as file:
            for key, leaf in leaves.items():
                file.write(packer.pack((key, flax.serialization.to_bytes(leaf))))

    def load(self, path):
        import flax
        import msgpack

        leaves = {}
        with open(path, "rb") as file:
            # The largest message is one leaf; 80 MiB at a time, without a bound on the whole.
            for key, packed in msgpack.Unpacker(file, read_size=80 << 20, max_buffer_size=0):
                leaves[tuple(key)] = flax.serialization.from_bytes(None, packed)
        return flat(flax.traverse_util.unflatten_dict(leaves))


FRAMEWORKS = {"safetensors": Safetensors, "torch": TorchSave, "dcp": Dcp, "orbax": Orbax, "easylm": EasyLm}


def import_packages(name):
    """Not measured: a trainer has them long since."""
    if name in ("torch", "dcp"):
        import torch.distributed.checkpoint  # noqa: F401
    elif name == "orbax":
        import jax
        import orbax.checkpoint  # noqa: F401

        jax.devices()
    elif name == "easylm":
        import flax
        import msgpack  # noqa: F401

        flax.serialization.to_bytes(np.zeros(1))
    else:
        import safetensors.numpy  # noqa: F401


def main():
    name, what, path, total, seed = sys.argv[1:]
    total = int(total)
    import_packages(name)
    # Who loads into arrays that are there needs them all; the others get new ones from the framework.
    tree = model(total if what == "save" or name == "dcp" else min(total, 64 << 20), int(seed))
    expected = tree["params"]["layer0"]["kernel"][:1024].copy()
    if what == "load":
        for layer in tree["params"].values():
            layer["kernel"].fill(0)
    framework = FRAMEWORKS[name](tree)
    if what == "load":
        make_free(total)
    watch = Stopwatch()
    if what == "save":
        framework.save(path)
        sync(path)
    else:
        got = framework.load(path)
        touch(got.values())
    result = watch.read()
    if what == "load" and not np.array_equal(np.asarray(got["params.layer0.kernel"])[:1024], expected):
        sys.exit("loaded other values than were saved")
    if what == "load" and sum(array.nbytes for array in got.values()) != total:
        sys.exit("loaded more or less than was saved")
    print_result(result, total)


if __name__ == "__main__":
    main()
