#!/usr/bin/env python3
"""Records the load of a real service as a small table that src/core/autoscaler_replay_test.cc plays
again in virtual time: of each job that ended when it arrived, whose it was, how many tasks it had, how
long one took and how much memory it used.

    bench/record_load.py --url http://localhost:8001 > tests/scenarios/loads/NAME.csv   # what ran there
    bench/record_load.py --drive 180 > …      # a service of its own, three users with mixed jobs

A task's time is the job's memory x time over its peak memory: exact when its tasks use the same
memory, too short when they differ."""

import argparse
import csv
import datetime
import os
import pathlib
import random
import sys
import time

import requests
from service import API, ROOT, quantile, service

COLUMNS = ["at_ms", "user", "operation", "tasks", "task_ms", "memory_mb"]
DATA = pathlib.Path(os.environ.get("POLYSOME_TEST_DATA", ROOT.parent / "shared" / "data"))


def milliseconds(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def ended_jobs(get):
    jobs, token = [], None
    while True:
        page = get({"view": "full", "limit": 1000, "page_token": token})
        jobs += [j for j in page["jobs"] if j["completed_at"] and j["started_at"]]
        token = page["next_page_token"]
        if not token:
            return sorted(jobs, key=lambda j: j["created_at"])


def row(job, first):
    # The planner and what puts the parts together are one task each in every job: not counted.
    parts = max((s["tasks_total"] for s in job["stages"] if s["name"] != "plan"), default=1)
    used = job["resources"]
    busy = used["memory_gb_seconds"] * 1e9 / max(used["peak_memory_bytes"], 1)
    return {
        "at_ms": milliseconds(job["created_at"]) - first,
        "user": job["user"],
        "operation": job["operation"],
        "tasks": parts,
        "task_ms": max(1, round(busy * 1000 / parts)),
        "memory_mb": round(used["peak_memory_bytes"] / 1e6),
    }


def write(jobs, where):
    if not jobs:
        raise SystemExit("no job has ended there: nothing to record")
    first = milliseconds(jobs[0]["created_at"])
    rows = [row(job, first) for job in jobs]
    waits = [(milliseconds(j["started_at"]) - milliseconds(j["created_at"])) / 1000 for j in jobs]
    print(f"# {len(rows)} jobs of {len({r['user'] for r in rows})} users, recorded by bench/record_load.py")
    print(f"# {where}; they waited {quantile(waits, 0.5):.2f} s (median), {max(waits):.2f} s at most")
    out = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    out.writeheader()
    out.writerows(rows)
    work = sum(r["tasks"] * r["task_ms"] for r in rows) / 1000
    print(f"{len(rows)} jobs in {rows[-1]['at_ms'] / 1000:.0f} s, {work:.0f} s of tasks", file=sys.stderr)


def drive(one, seconds, seed):
    """Ada looks at real tables now and then, Bob sends a sweep each minute, Eve has a few long jobs."""
    rng = random.Random(seed)
    began = time.monotonic()
    due = {"ada": 0.0, "bob": 5.0, "eve": 12.0}
    real = DATA.is_dir()
    jobs = []
    while (now := time.monotonic() - began) < seconds:
        for user in [u for u, at in due.items() if at <= now]:
            if user == "ada":
                due[user] = now + rng.expovariate(1 / 3)
                if real:
                    wide = rng.random() < 0.15
                    more = {"dataset_id": "gene" if wide else "clinic", "partition_size": "400kB"}
                    jobs.append(one.submit("describe", {}, user=user, **more))
                else:
                    jobs.append(one.submit("noop", {"tasks": rng.randint(1, 6), "sleep_ms": 150}, user=user))
            elif user == "bob":
                due[user] = now + 55 + rng.uniform(0, 10)
                for _ in range(25):
                    work = {"tasks": rng.randint(1, 8), "sleep_ms": rng.randint(80, 900)}
                    jobs.append(one.submit("noop", work, user=user))
            else:
                due[user] = now + rng.uniform(25, 45)
                work = {"tasks": rng.randint(10, 40), "sleep_ms": rng.randint(1500, 3500), "memory_mb": 60}
                jobs.append(one.submit("noop", work, user=user))
        time.sleep(0.1)
    for job in jobs:
        one.wait(job)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="of a running service")
    where.add_argument("--drive", type=float, metavar="SECONDS", help="drive a service of its own")
    parser.add_argument("--seed", type=int, default=1, help="of the driven load")
    parser.add_argument("--workers", type=int, default=8, help="of two slots each, for the driven load")
    given = parser.parse_args()
    if given.url:

        def get(query):
            answer = requests.get(f"{given.url}{API}/jobs/list", params=query, timeout=60)
            if answer.status_code != 200:
                raise SystemExit(f"jobs/list: {answer.status_code} {answer.text}")
            return answer.json()

        return write(ended_jobs(get), "at a running service")
    folders = ["--data-dir", str(DATA / "liver-toxicity")] if DATA.is_dir() else []
    with service(*folders) as one:
        one.start_cluster(given.workers, 2)
        drive(one, given.drive, given.seed)
        address = f"http://127.0.0.1:{one.port}{API}/jobs/list"
        jobs = ended_jobs(lambda query: one.http.get(address, params=query, timeout=60).json())
        write(jobs, f"at a service with {given.workers} workers x 2")


if __name__ == "__main__":
    main()
