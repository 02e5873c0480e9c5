"""One DoPut or DoGet of so many bytes, against flight_server.py.

    python flight_client.py put|get ADDRESS NAME BYTES SEED
"""

import sys

import numpy as np
import pyarrow as pa
from flight_server import SCHEMA, batches
from payload import fill
from pyarrow import flight
from stopwatch import Stopwatch, print_result


def put(client, name, values):
    watch = Stopwatch()
    writer, answers = client.do_put(flight.FlightDescriptor.for_path(name), SCHEMA)
    for batch in batches(pa.py_buffer(values)):
        writer.write_batch(batch)
    writer.done_writing()
    if int(answers.read().to_pybytes()) != values.size:
        sys.exit("the server wrote another number of bytes")
    writer.close()
    return watch.read()


def get(client, name, values):
    watch = Stopwatch()
    at = 0
    for chunk in client.do_get(flight.Ticket(name.encode())):
        got = np.frombuffer(chunk.data.column(0).buffers()[1], np.uint8)
        values[at : at + got.size] = got
        at += got.size
    result = watch.read()
    if at != values.size:
        sys.exit("the server sent another number of bytes")
    return result


def main():
    what, address, name, total, seed = sys.argv[1:]
    values = np.zeros(int(total), np.uint8)
    values[::4096] = 1  # The pages are there before the clock runs.
    client = flight.connect(address)
    if what == "put":
        fill(values, int(seed))
    print_result(put(client, name, values) if what == "put" else get(client, name, values), values.size)


if __name__ == "__main__":
    main()
