"""What it takes to see a tensor of another process's: `attach.py FOLDER REFS`. Prints medians in us, by way and size."""

import json
import statistics
import sys
import time

import numpy as np

sys.path.insert(0, sys.argv[1])
import coload_shm  # noqa: E402: it is found there

ROUNDS, CALLS = 41, 200


def median_us(call):
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - start) / CALLS * 1e6)
    return statistics.median(rounds)


def attach(ref):
    with coload_shm.open(ref) as tensor:
        return tensor.numpy()


def memmap(ref):
    return np.memmap(f"/dev/shm/{ref['region']}", np.uint8, "r+", ref["byteOffset"], tuple(ref["shape"]))


ways = {"memmap": memmap, "attach": attach, "open": coload_shm.open}
kept = [coload_shm.open(ref) for ref in json.loads(sys.argv[2])]
refs = json.loads(sys.argv[2])
print(json.dumps({name: [median_us(lambda: way(ref)) for ref in refs] for name, way in ways.items()}))
