#!/usr/bin/env python3
"""From submit to the first task's start on an idle worker, and to the end of a job that does nothing.

    bench/start_latency.py [--samples 200]

The start is read from the job's own record (started_at, milliseconds); the rest is the client's clock.
Goal: a queued job starts on an idle worker in under 20 ms."""

import argparse
import datetime
import time

from service import latencies, report, service

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--samples", type=int, default=200)
options = parser.parse_args()


def moment(text):
    return datetime.datetime.fromisoformat(text).timestamp()


with service() as polysome:
    polysome.start_cluster(1, 1)
    polysome.wait(polysome.submit("noop", {"tasks": 1}))
    starts, ends, submits = [], [], []
    for _ in range(options.samples):
        began = time.perf_counter()
        job = polysome.submit("noop", {"tasks": 1})
        submits.append(time.perf_counter() - began)
        status = polysome.wait(job)
        ends.append(time.perf_counter() - began)
        starts.append(moment(status["started_at"]) - moment(status["created_at"]))
    report(
        "start_latency",
        [
            {"what": "submit answered", **latencies(submits)},
            {"what": "first task started", **latencies(starts)},
            {"what": "job completed and known", **latencies(ends)},
        ],
    )
