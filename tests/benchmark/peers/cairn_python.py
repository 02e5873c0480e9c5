"""The Python package cairn: a tree of NumPy arrays saved; loaded into arrays that are there; or loaded into new ones.

    python cairn_python.py save|load|load-into|load-new SERVER NAME@STEP BYTES SEED

load-into and load-new are load, or a load into new arrays, as frameworks.py measures it.
"""

import sys

import cairn
import numpy as np
from new_memory import make_free, touch
from payload import model
from stopwatch import Stopwatch, print_result


def main():
    what, server, ref, total, seed = sys.argv[1:]
    total, seed = int(total), int(seed)
    tree = model(min(total, 64 << 20) if what == "load-new" else total, seed)
    with cairn.Client(server) as client:
        if what == "save":
            watch = Stopwatch()
            client.save(ref, tree)
            print_result(watch.read(), total)
            return
        expected = tree["params"]["layer0"]["kernel"][:1024].copy()
        for layer in tree["params"].values():
            layer["kernel"].fill(0)
        client.show(ref)  # The connection is made before.
        if what != "load":
            make_free(total)
        watch = Stopwatch()
        tree = client.load(ref) if what == "load-new" else client.load(ref, into=tree)
        if what != "load":
            touch(layer["kernel"] for layer in tree["params"].values())
        result = watch.read()
        if not np.array_equal(tree["params"]["layer0"]["kernel"][:1024], expected):
            sys.exit("loaded other values than were saved")
        print_result(result, total)


if __name__ == "__main__":
    main()
