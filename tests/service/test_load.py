"""Many clients, many jobs, many threads at once."""

import collections
import concurrent.futures
import signal

import requests

from polysome_service import API, LONG, PATIENCE, until


def test_200_jobs_of_20_clients(service):
    service.start_cluster(2, 2)

    def client(number):
        with requests.Session() as http:
            http.trust_env = False
            found = []
            for i in range(10):
                body = {
                    "operation": "noop",
                    "parameters": {"tasks": 3},
                    "tags": [f"client{number}"],
                    "priority": ["LOW", "NORMAL", "HIGH", "CRITICAL"][i % 4],
                }
                answer = http.post(service.address(f"{API}/jobs/submit"), json=body, timeout=60 * PATIENCE)
                assert answer.status_code == 200, answer.text
                found.append(answer.json()["job_id"])
            return found

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        jobs = [job for made in pool.map(client, range(20)) for job in made]
    assert len(set(jobs)) == 200
    for job in jobs:
        status = service.complete(job, 300)
        assert status["attempts"] == [] and status["result"]["value"] == 3
    counts = collections.Counter(j["status"] for j in service.get("jobs/list?limit=1000")["jobs"])
    assert counts == {"completed": 200}
    queue = service.get("queue/status")
    assert queue["pending"] == queue["running"] == 0


def test_accepted_jobs_survive_kill_9_during_submission(service):
    accepted = []

    def client():
        with requests.Session() as http:
            http.trust_env = False
            while True:
                try:
                    answer = http.post(
                        service.address(f"{API}/jobs/submit"), json={"operation": "noop"}, timeout=60
                    )
                except requests.RequestException:
                    return
                if answer.status_code == 200:
                    accepted.append(answer.json()["job_id"])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        until(lambda: len(accepted) >= 40, "40 accepted jobs")
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        for one in clients:
            one.result(120)
    service.kill()
    service.start()
    service.start_cluster(2, 2)
    for job in accepted:
        service.complete(job)


def test_100_tasks_at_once_on_32_workers_of_4_threads(service):
    service.start_cluster(32, 4, "500MB")
    sleep = 20_000 if LONG else 8_000
    job = service.submit("noop", parameters={"tasks": 100, "sleep_ms": int(sleep * max(1, PATIENCE / 2))})
    until(lambda: service.get("cluster/status")["used_cores"] == 100, "100 tasks to run at once", 120)
    finished = service.complete(job, 300)
    assert finished["result"]["value"] == 100 and finished["attempts"] == []
