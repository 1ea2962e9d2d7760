"""Writes cases.json: networks of many operands and the least that opt_einsum finds for each.

    pip install opt_einsum==3.4.0 && python generate.py > cases.json

Cost is that of contraction-network.ts: the points of each step's box. `best` is the least of `dp`, `auto` and 128 random-greedy
trees; `dp` is left out where it takes longer than a minute. Nothing here is needed to build or test the project.
"""

import json
import multiprocessing
import random
import sys

import opt_einsum as oe

DP_SECONDS = 60


def graph(edges, operands, extents, output=(), extra=()):
    """`edges`: lists of operands that share an axis; `extra`: axes of one operand that the output has."""
    axes = [[] for _ in range(operands)]
    for axis, holders in enumerate(edges):
        for operand in holders:
            axes[operand].append(axis)
    out = list(output)
    for operand in extra:
        axes[operand].append(len(extents) - len(extra) + len(out) - len(output))
        out.append(axes[operand][-1])
    return {"extents": list(extents), "operands": axes, "store": out}


def sizes(rng, count, low=2, high=10):
    return [rng.randint(low, high) for _ in range(count)]


def chain(rng, n):
    edges = [[i, i + 1] for i in range(n - 1)]
    return graph(edges, n, sizes(rng, n + 1, 2, 40), extra=[0, n - 1])


def ring(rng, n):
    return graph([[i, (i + 1) % n] for i in range(n)], n, sizes(rng, n, 2, 40))


def tree(rng, n):
    edges = [[rng.randrange(i), i] for i in range(1, n)]
    extra = rng.sample(range(n), 3)
    return graph(edges, n, sizes(rng, n - 1 + 3), extra=extra)


def regular(rng, n, degree):
    """A connected random graph in which operands have `degree` axes, or one more or less."""
    edges = [[rng.randrange(i), i] for i in range(1, n)]
    degrees = [0] * n
    for a, b in edges:
        degrees[a] += 1
        degrees[b] += 1
    while len(edges) < n * degree // 2:
        a, b = sorted(rng.sample(range(n), 2), key=lambda i: degrees[i] + rng.random())[:2]
        if degrees[a] > degree or degrees[b] > degree:
            least = sorted(range(n), key=lambda i: degrees[i] + rng.random())[:2]
            a, b = least
        edges.append([a, b])
        degrees[a] += 1
        degrees[b] += 1
    return graph(edges, n, sizes(rng, len(edges), 2, 6))


def hyper(rng, n):
    """A ring with axes of three operands, some of them in the output, one axis of a single operand, and a batch of all."""
    edges = [[i, (i + 1) % n] for i in range(n)]
    edges += [rng.sample(range(n), 3) for _ in range(n // 3)]
    edges += [[rng.randrange(n)], list(range(n))]
    output = [n, n + 1, len(edges) - 1]
    return graph(edges, n, sizes(rng, len(edges), 2, 8), output=output)


def apart(rng, n):
    """Two chains and a lone operand that share nothing."""
    half = n // 2
    edges = [[i, i + 1] for i in range(n - 2) if i != half]
    return graph(edges, n, sizes(rng, len(edges) + 3, 2, 12), extra=[0, n - 2, n - 1])


FAMILIES = {
    "chain": chain,
    "ring": ring,
    "tree": tree,
    "degree3": lambda rng, n: regular(rng, n, 3),
    "degree4": lambda rng, n: regular(rng, n, 4),
    "degree5": lambda rng, n: regular(rng, n, 5),
    "hyper": hyper,
    "apart": apart,
}


def cost(network, path):
    extents, store = network["extents"], set(network["store"])
    parts = [set(axes) for axes in network["operands"]]
    total = 0
    for step in path:
        taken = [parts.pop(i) for i in sorted(step, reverse=True)]
        loop = set().union(*taken)
        needed = store.union(*parts)
        points = 1
        for axis in loop:
            points *= extents[axis]
        if len(taken) > 1 or loop - needed:
            total += points
        parts.append(loop & needed)
    return total


def path_of(network, optimizer, queue):
    names = [oe.get_symbol(i) for i in range(len(network["extents"]))]
    terms = ["".join(names[a] for a in axes) for axes in network["operands"]]
    equation = ",".join(terms) + "->" + "".join(names[a] for a in network["store"])
    shapes = [tuple(network["extents"][a] for a in axes) for axes in network["operands"]]
    path, _ = oe.contract_path(equation, *shapes, shapes=True, optimize=optimizer)
    queue.put([list(step) for step in path])


def within(network, optimizer, seconds):
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=path_of, args=(network, optimizer, queue))
    process.start()
    try:
        return cost(network, queue.get(timeout=seconds))
    except Exception:
        return None
    finally:
        process.kill()
        process.join()


def main():
    family_names = sys.argv[1].split(",") if len(sys.argv) > 1 else list(FAMILIES)
    only = [int(n) for n in sys.argv[2].split(",")] if len(sys.argv) > 2 else None
    cases = []
    for family in family_names:
        for n in only or ([9, 16, 25, 33] if family.startswith("degree") else [9, 16, 25, 33, 60]):
            rng = random.Random(f"{family} {n}")
            network = FAMILIES[family](rng, n)
            found = {
                "dp": within(network, "dp", DP_SECONDS),
                "auto": within(network, "auto", 600),
                "random-greedy-128": within(network, oe.RandomGreedy(max_repeats=128), 600),
            }
            best = min(c for c in found.values() if c is not None)
            cases.append({"family": family, "count": n, **network, "by": found, "best": best})
            print(family, n, found, file=sys.stderr)
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    print(f'{{\n  "opt_einsum": "{oe.__version__}",\n  "cases": [\n{lines}\n  ]\n}}')


if __name__ == "__main__":
    main()
