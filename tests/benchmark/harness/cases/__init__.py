"""One module per kind of comparison. A case is a function that takes a Workplace and gives Groups."""

from harness.cases import diff, disk, files, memory, micro, python, scripts, small, tls, wire

CASES = {
    "put": wire.put,
    "get": wire.get,
    "tls": tls.tls,
    "streams": wire.streams,
    "durable": disk.durable,
    "load": disk.load,
    "memory": memory.peak,
    "many": small.many,
    "convert": files.convert,
    "diff": diff.diff,
    "scripts": scripts.scripts,
    "casts": micro.casts,
    "checksums": micro.checksums,
    "checks": wire.checks,
    "python": python.client,
    "frameworks": python.frameworks,
}
