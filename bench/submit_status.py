#!/usr/bin/env python3
"""Latency of submit (durable before the answer) and of status, with many jobs in the store.

    bench/submit_status.py [--jobs 10000] [--samples 1000]

One client, one connection; the cluster is stopped, so only the service itself works. Goals: submit p99
under 5 ms, status p99 under 2 ms at 10,000 jobs."""

import argparse
import random
import time

from service import latencies, report, service

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--jobs", type=int, default=10_000)
parser.add_argument("--samples", type=int, default=1_000)
options = parser.parse_args()

with service() as polysome:
    jobs, submits = [], []
    for _ in range(options.jobs + options.samples):
        began = time.perf_counter()
        jobs.append(polysome.submit("noop", {"tasks": 1}))
        submits.append(time.perf_counter() - began)
    random.seed(1)
    statuses, lists = [], []
    for _ in range(options.samples):
        path = f"jobs/{random.choice(jobs)}/status"
        began = time.perf_counter()
        polysome.call("GET", path)
        statuses.append(time.perf_counter() - began)
    for _ in range(100):
        began = time.perf_counter()
        polysome.call("GET", "jobs/list?limit=100")
        lists.append(time.perf_counter() - began)
    report(
        "submit_status",
        [
            {"what": "submit", "jobs_stored": options.jobs, **latencies(submits[-options.samples :])},
            {"what": "status", "jobs_stored": len(jobs), **latencies(statuses)},
            {"what": "list of 100", "jobs_stored": len(jobs), **latencies(lists)},
        ],
    )
