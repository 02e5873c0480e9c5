"""Arrow Flight, as pyarrow has it: DoPut writes what it gets to a file, DoGet sends a file that is mapped.

    python flight_server.py grpc://127.0.0.1:0 FOLDER
"""

import json
import os
import sys

import pyarrow as pa
from pyarrow import flight

SCHEMA = pa.schema([pa.field("bytes", pa.uint8(), nullable=False)])
CHUNK = 1 << 20


def batches(buffer, chunk=CHUNK):
    """Record batches that point into `buffer`."""
    for at in range(0, buffer.size, chunk):
        length = min(chunk, buffer.size - at)
        array = pa.Array.from_buffers(pa.uint8(), length, [None, buffer.slice(at, length)])
        yield pa.record_batch([array], schema=SCHEMA)


class Server(flight.FlightServerBase):
    def __init__(self, location, folder):
        super().__init__(location)
        self._folder = folder

    def do_put(self, context, descriptor, reader, writer):
        path = os.path.join(self._folder, descriptor.path[0].decode())
        written = 0
        with open(path, "xb", buffering=0) as file:
            for chunk in reader:
                written += file.write(chunk.data.column(0).buffers()[1])
            os.fsync(file.fileno())
        # So that a client knows that its bytes are where they should be.
        writer.write(pa.py_buffer(str(written).encode()))

    def do_get(self, context, ticket):
        mapped = pa.memory_map(os.path.join(self._folder, ticket.ticket.decode()))
        return flight.GeneratorStream(SCHEMA, batches(mapped.read_buffer(mapped.size())))


def main():
    location, folder = sys.argv[1:]
    server = Server(location, folder)
    address = f"grpc://127.0.0.1:{server.port}" if location.startswith("grpc://") else location
    print(json.dumps({"address": address}), flush=True)
    server.serve()


if __name__ == "__main__":
    main()
