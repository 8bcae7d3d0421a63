#!/usr/bin/env python3
"""Tasks a second that do nothing, through real worker processes.

    bench/noop_rate.py [--tasks 50000] [--workers 2] [--threads 1] [--peers]

--peers runs Ray and Dask, where they can be imported, in the same go with as many processes. Goal:
10,000 a second on 2 cores."""

import argparse
import sys
import time

from service import report, service

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tasks", type=int, default=50_000)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--peers", action="store_true")
options = parser.parse_args()


def polysome():
    with service() as one:
        one.start_cluster(options.workers, options.threads)
        one.wait(one.submit("noop", {"tasks": 1000}))
        began = time.perf_counter()
        one.wait(one.submit("noop", {"tasks": options.tasks}))
        return time.perf_counter() - began


def nothing(_):
    return None


def dask():
    from distributed import Client, LocalCluster

    with LocalCluster(
        n_workers=options.workers, threads_per_worker=options.threads, dashboard_address=None
    ) as cluster, Client(cluster) as client:
        client.gather(client.map(nothing, range(1000), pure=False))
        began = time.perf_counter()
        client.gather(client.map(nothing, range(options.tasks), pure=False))
        return time.perf_counter() - began


def ray():
    import ray as engine

    engine.init(num_cpus=options.workers * options.threads, include_dashboard=False, logging_level="ERROR")
    remote = engine.remote(nothing)
    engine.get([remote.remote(i) for i in range(1000)])
    began = time.perf_counter()
    engine.get([remote.remote(i) for i in range(options.tasks)])
    seconds = time.perf_counter() - began
    engine.shutdown()
    return seconds


def main():
    rows = []
    for name, run in [("polysome", polysome)] + ([("dask", dask), ("ray", ray)] if options.peers else []):
        try:
            seconds = run()
        except ImportError as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
            continue
        rows.append(
            {
                "engine": name,
                "tasks": options.tasks,
                "processes": options.workers,
                "threads": options.threads,
                "seconds": round(seconds, 3),
                "tasks_per_second": round(options.tasks / seconds),
            }
        )
    for row in rows:
        row["ratio"] = round(rows[0]["tasks_per_second"] / row["tasks_per_second"], 1)
    report("noop_rate", rows)


if __name__ == "__main__":
    main()
