import requests
requests.post("http://localhost:8001/api/processing/cluster/start")
response = requests.post("http://localhost:8001/api/processing/jobs/submit", json={
    "operation": "aggregate", "dataset_id": "my_dataset",
    "parameters": {"column": "expression", "operation": "mean"},
    "priority": "HIGH", "max_memory_gb": 4.0, "max_cores": 4})
job_id = response.json()["job_id"]
status = requests.get(f"http://localhost:8001/api/processing/jobs/{job_id}/status").json()
print(f"Progress: {status['progress']}%")
