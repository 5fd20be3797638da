"""A whole cluster on one machine, for trying and for tests: `make cluster`.

Each program is a child process with a folder, a log and ports of its own, on the loopback alone.
"""
