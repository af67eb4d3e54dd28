#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Performance targets of the CUDA kernels: compares them with moving the same bytes and, if PyTorch is installed, with its softmax
and cuBLAS. Checks results, times, and prints each row with its ratio and verdict.

    benchmarks/cuda_targets.py [--metallic build/release/metallic] [--device cuda:0] [--budget 60s] [--json FILE]

All times are of one call in a replayed CUDA graph, with cold caches: the L2 cache holds other memory, and each call reads other addresses.
"""
import argparse
import json
import math
import statistics
import subprocess
import sys

MANY_ROWS = [(262144, 64), (262144, 256), (262144, 1024), (209715, 1280), (200000, 1279), (131072, 2048), (65536, 4096), (65000, 4097),
             (32768, 8192), (16384, 16384), (8192, 32768), (4096, 65536), (2048, 131072), (1024, 262144)]
FEW_ROWS = [(rows, keys) for rows in (1, 4, 16) for keys in (4096, 32768, 131072, 262144)]
WEIGHTS = [(4096, 4096), (6144, 4096), (14336, 4096), (4096, 14336), (28672, 8192), (8192, 28672), (1024, 8192), (128256, 4096)]
COLUMNS = [1, 2, 4, 8, 16]
PRODUCTS = [(128, 4096, 4096), (4096, 4096, 4096), (1000, 4096, 4100)]


def softmax_label(rows, keys):
    return f"rows{rows}_seqk{keys}"


def bench(options, labels, dtype, budget):
    """For each label our fastest candidate and the roofline, in µs."""
    words = [options.metallic, "bench", "--device", options.device, "--cache", "cold", "--dtype", dtype, "--budget", budget,
             "--seed", str(options.seed), "--json", "--shapes", *labels]
    rows = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    found = {}
    for row in rows:
        best = found.setdefault(row["parameters"], {"us": math.inf, "floor_us": row["floor_ns"] / 1e3, "bytes": row["bytes"]})
        if row["median_time"] / 1e3 < best["us"]:
            tuning = "@" + row["tuning"] if row["tuning"] else ""
            best |= {"us": row["median_time"] / 1e3, "variant": row["variant"] + tuning}
    return found


class Torch:
    """Kernels of PyTorch, timed by the same clock."""

    def __init__(self, device):
        import torch
        self.torch = torch
        self.device = torch.device(device)
        self.l2_bytes = torch.cuda.get_device_properties(self.device).L2_cache_size
        self.flush = torch.empty(2 * self.l2_bytes, dtype=torch.uint8, device=self.device)

    def random(self, *shape, dtype):
        return self.torch.randn(*shape, device=self.device, dtype=getattr(self.torch, dtype))

    def copies(self, size):
        """How many operands of this size exceed two L2 caches."""
        return min(max(2, math.ceil(2 * self.l2_bytes / size) + 1), 256)

    def time(self, calls):
        """Median µs of a call; the calls of a graph use different addresses."""
        torch = self.torch
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for call in calls[:2]:
                call()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        begin, end = (torch.cuda.Event(enable_timing=True, external=True) for _ in range(2))
        with torch.cuda.graph(graph, stream=stream):
            begin.record(stream)
            for call in calls:
                call()
            end.record(stream)
        times = []
        for _ in range(9):
            with torch.cuda.stream(stream):
                self.flush.fill_(1)
                graph.replay()
            stream.synchronize()
            times.append(begin.elapsed_time(end) * 1e3 / len(calls))
        return statistics.median(times)

    def softmax(self, rows, keys, dtype):
        inputs = [self.random(rows, keys, dtype=dtype)]
        inputs += [inputs[0].clone() for _ in range(self.copies(2 * inputs[0].nbytes) - 1)]
        outputs = [self.torch.empty_like(x) for x in inputs]
        return self.time([lambda x=x, y=y: self.torch.softmax(x, -1, out=y) for x, y in zip(inputs, outputs)])

    def matmul(self, n, k, big, dtype):
        """X[n, k] · W[big, k]ᵀ, the orientation of inference engines."""
        x = self.random(n, k, dtype=dtype)
        weights = [self.random(big, k, dtype=dtype)]
        weights += [weights[0].clone() for _ in range(self.copies(weights[0].nbytes) - 1)]
        out = self.torch.empty(n, big, device=self.device, dtype=x.dtype)
        return self.time([lambda w=w: self.torch.mm(x, w.t(), out=out) for w in weights])


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def table(title, rows, asked, verdict):
    print(f"\n{title}\n  {'problem':<28} {'dtype':<5} {'ours µs':>9} {'variant':<46} {'roofline µs':>11} {'of it':>6} {'peer µs':>9} {'ratio':>6}")
    for row in rows:
        peer = f"{row['peer_us']:9.2f} {row['peer_us'] / row['us']:6.2f}" if row["peer_us"] else f"{'–':>9} {'–':>6}"
        print(f"  {row['label']:<28} {row['dtype']:<5} {row['us']:9.2f} {row['variant']:<46} {row['floor_us']:11.2f} "
              f"{row['floor_us'] / row['us']:6.2f} {peer}")
    print(f"  target {asked}: {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metallic", default="build/release/metallic", help="the program")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--budget", default="20s", help="time for our kernels, spent three times: twice on softmax, once on matmul")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="write all rows to this file")
    options = parser.parse_args()

    checked = subprocess.run([options.metallic, "validate", "--device", options.device, "--quick"], capture_output=True, text=True)
    print(checked.stdout + checked.stderr)
    if checked.returncode != 0:
        sys.exit("cuda_targets: results are wrong, so nothing is timed")
    try:
        peers = Torch(options.device)
        print(f"PyTorch {peers.torch.__version__}, {peers.torch.cuda.get_device_name(peers.device)}")
    except ImportError:
        peers = None
        print("PyTorch is not installed: no comparison with it")
    names = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
    everything = []

    many = {softmax_label(*shape): shape for shape in MANY_ROWS}
    few = {softmax_label(*shape): shape for shape in FEW_ROWS}
    columns = {n: {f"{n}x{k}x{big}_tb": (n, k, big) for big, k in WEIGHTS} for n in COLUMNS}
    products = {f"{m}x{k}x{n}_tb": (m, k, n) for m, k, n in PRODUCTS}
    matmuls = [label for labels in (*columns.values(), products) for label in labels]
    ours = {dtype: bench(options, [*many, *few], dtype, options.budget) for dtype in ("bf16", "f32")}
    ours["bf16"] |= bench(options, matmuls, "bf16", options.budget)

    def rows_of(labels, dtype, peer):
        rows = [{"label": label, "dtype": dtype, **ours[dtype][label], "peer_us": peer(*labels[label], names[dtype]) if peers else None}
                for label in labels]
        everything.extend(rows)
        return rows

    def verdict(fine, text):
        return ("met" if fine else "MISSED") + ": " + text

    for dtype in ("bf16", "f32"):
        rows = rows_of(many, dtype, lambda r, k, t: peers.softmax(r, k, t))
        of_floor = [row["floor_us"] / row["us"] for row in rows if many[row["label"]][1] >= 256]
        table("softmax, many rows", rows, "≥ 0.95 of copying at every seq_k ≥ 256",
              verdict(min(of_floor) >= 0.95, f"{min(of_floor):.2f} at worst, {geometric_mean(of_floor):.2f} on average"))
        rows = rows_of(few, dtype, lambda r, k, t: peers.softmax(r, k, t))
        times = [row["us"] / row["floor_us"] for row in rows if few[row["label"]][1] >= 32768]
        table("softmax, few rows", rows, "≤ 1.25 times copying from 32k keys on", verdict(max(times) <= 1.25, f"{max(times):.2f} at worst"))

    for n in COLUMNS:
        rows = rows_of(columns[n], "bf16", lambda n, k, big, t: peers.matmul(n, k, big, t))
        of_floor = geometric_mean([row["floor_us"] / row["us"] for row in rows])
        slower = [row["label"] for row in rows if row["peer_us"] and row["us"] > row["peer_us"]]
        table(f"matmul, {n} column{'s' if n > 1 else ''}", rows, "≥ 0.92 of reading the weights, geometric mean, none slower than cuBLAS",
              verdict(of_floor >= 0.92 and not slower, f"{of_floor:.2f}, slower: {', '.join(slower) or 'none'}"))

    rows = rows_of(products, "bf16", lambda m, k, n, t: peers.matmul(m, k, n, t))
    ratios = [row["peer_us"] / row["us"] for row in rows if row["peer_us"]]
    table("matmul, many columns", rows, "≥ 1.5 times cuBLAS for misaligned sizes (the last)",
          verdict(bool(ratios) and ratios[-1] >= 1.5, f"{ratios[-1]:.2f}" if ratios else "no peer"))

    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
