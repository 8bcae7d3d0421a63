"""What test_answers.py asks: a table of fields and values that are wrong for them, of query parameters,
of methods and of requests that are right. Each line of the table becomes requests; the answers lie in
golden/answers/GROUP.txt."""

HELD, DONE, GONE = "HELD", "DONE", "GONE"  # jobs of the fixture: held, completed, never there

# What is wrong for a field of this kind.
WRONG = {
    "text": [7, True, [], {}],
    "name": [7, "x" * 300, "a\u0000b"],
    "count": [0, -1, 1.5, "three", [], 1e30],
    "size": ["2 elephants", -1, "", [], True, "1e999GB"],
    "seconds": [-1, "soon", [], 1e300],
    "flag": ["yes", 1, []],
    "list": [3, [3], {}],
    "object": ["x", 3, []],
    "priority": [0, 5, "HIHG", 1.5, [], True],
}

# Route, a body that is right, and its fields with their kinds.
BODIES = {
    "jobs": [
        (
            "POST jobs/submit",
            {"operation": "noop"},
            {
                "operation": ["", 7, "agregate", "nop", "Noop", "mean"],
                "parameters": "object",
                "priority": "priority",
                "max_memory_gb": ["much", -1, 0, 1e-9, [], True],
                "max_cores": "count",
                "n_workers": "count",
                "memory_per_worker": "size",
                "max_retries": [-1, 10, 1.5, "three"],
                "max_attempts": [0, 11, 1.5, "three"],
                "timeout_seconds": "seconds",
                "partition_size": "size",
                "user": [7, "x" * 300],
                "name": "name",
                "tags": "list",
                "held": "flag",
                "keep": "flag",
                "depends_on": ["x", ["x"], [7], [GONE], {}],
                "on_bad_value": ["nul", 7, "ignore"],
                "max_bad_values": [-1, 1.5, "many"],
                "callback_url": [7, "file:///etc/passwd", "http://127.0.0.1:1/x"],
                "output": ["x", {"pth": "x"}, {"path": "x.csv"}],
                "layout": ["x", {"kind": "cube"}, {"delimiter": "||||||"}, {"headr": True}, {"orientation": "up"}],
                "type": ["tabel", "omics", 7],
            },
        ),
        (
            "POST jobs/submit",
            {"operation": "aggregate", "dataset_id": "my_dataset", "parameters": {"column": "expression", "operation": "mean"}},
            {
                "dataset_id": [None, "", 7, "my_datset", "my_dataset.cvs", "../x", "job:x", f"job:{GONE}", [], ["my_dataset", "x"]],
                "output": [{"path": "/etc/x.csv"}, {"path": "../x.csv"}, {"path": "x.xls", "format": "xls"}, {"path": 7}, {"path": "x.csv", "files": "two"}, {"path": "x.csv", "if_exists": "panic"}, {"path": "x.csv", "compression": "rar"}, {"database": "mysql://x/y?table=t"}],
                "parameters": [
                    {},
                    {"column": "expression"},
                    {"colum": "expression", "operation": "mean"},
                    {"column": "expression", "operation": "maen"},
                    {"column": "expression", "operation": []},
                    {"column": "expression", "operation": "quantile", "q": 2},
                    {"column": "expression", "operation": "avarage"},
                    {"column": 7, "operation": "mean"},
                    {"column": "expression", "operation": "mean", "group_by": 7},
                    {"column": "expression", "operation": "mean", "where": 7},
                    {"column": "expression", "operation": "mean", "q": "x"},
                ],
            },
        ),
        (
            "POST jobs/validate",
            {"operation": "noop"},
            {"operation": ["agregate", 7], "parameters": [{"tasks": 0}, {"tasks": "x"}, {"task": 1}, {"fail_rate": 2}]},
        ),
        ("POST jobs/batch", {"defaults": {"operation": "noop"}, "jobs": [{}]}, {"defaults": ["x", {"operatoin": "noop"}], "jobs": [7, [], {}, [7], [{"priority": 9}], [{}, {"parameters": {"tasks": 0}}]]}),
        ("POST jobs/cancel", {"status": "pending"}, {"status": ["pendin", 7], "user": [7], "batch_id": ["x", 7], "job_ids": ["x", [7], ["x"]], "reason": [7]}),
        ("POST jobs/DONE/retry", {}, {"parameters": ["x", {"task": 3}], "on_bad_value": ["nul"], "priority": [9], "max_memory_gb": [0, "x"], "name": [7]}),
        ("PATCH jobs/HELD", {}, {"priority": "priority", "held": "flag", "keep": "flag", "name": "name", "tags": "list"}),
        ("POST jobs/HELD/cancel", {}, {"mode": ["gently", 7], "reason": [7, []]}),
    ],
    "cluster": [
        (
            "POST cluster/start",
            {},
            {
                "n_workers": [0, 33, -1, 1.5, "four"],
                "threads_per_worker": [0, 65, 1.5, "two"],
                "memory_limit": [*["2 elephants", -1, "", [], True], "1kB"],
                "backend": ["dusk", 7, "slurm"],
                "autoscale": [7, {"min": 0}, {"min": 5, "max": 4}, {"mni": 1}, {"max": 33}],
            },
        ),
        ("POST cluster/scale", {"n_workers": 2}, {"n_workers": [0, 33, 1.5, "two", None, []]}),
        ("POST cluster/stop", {}, {"mode": ["now", 7]}),
        ("PUT cluster/autoscale", {"min": 1, "max": 2}, {"enabled": "flag", "min": [0, 3, "x"], "max": [0, 33, 1.5]}),
        (
            "PUT resources/limits",
            {},
            {
                "max_pending_jobs": [-1, 1.5, "x"],
                "per_user": [7, {"max_cors": 1}, {"max_cores": 0}, {"max_memory": "x"}, {"max_priority": 9}],
                "users": [7, {"ada": 7}, {"ada": {"weight": -1}}, {"ada": {"wieght": 1}}],
            },
        ),
        ("POST queue/pause", {}, {"reason": [7, []]}),
        ("POST cluster/workers/w1/exclude", {}, {"for_seconds": [-1, "x"], "reason": [7]}),
    ],
    "data": [
        (
            "POST data/load",
            {"dataset_id": "x", "source": "my_dataset.csv"},
            {
                "dataset_id": ["", 7, "a/b", "job:x", "x" * 300, "a b\n", "my\u0000set"],
                "source": ["", 7, "nope.csv", "../my_dataset.csv", "/etc/passwd", "s3://b/x", "sqlite:///nope.db?table=t", "ftp://x/y"],
                "format": ["cvs", 7],
                "columns": [["nope"], [7], 7],
                "null_values": [7, [7]],
                "materialize": "flag",
                "replace": "flag",
                "layout": [7, {"types": {"expression": "flot"}}, {"comments": "#"}, {"decimal": ";;"}],
            },
        ),
        ("POST data/load", {"dataset_id": "x"}, {"rows": [7, [7], [], [{}], [{"a": 1}, 7], {"a": 1}]}),
        (
            "POST data/partition",
            {"dataset_id": "my_dataset"},
            {
                "dataset_id": ["my_datset", 7, ""],
                "path": ["my_dataset.csv", 7],
                "partition_size": "size",
                "n_workers": "count",
                "exact": "flag",
                "limit": [0, 1001, "x"],
                "page_token": [7, "x"],
                "format": ["cvs"],
            },
        ),
    ],
}

# Query parameters and values that are wrong for them.
QUERIES = {
    "jobs": {
        "GET jobs/list": {
            "status": ["done", "pendin", ""],
            "priority": ["5", "HIHG", "0"],
            "limit": ["0", "1001", "ten", "1.5", "-1"],
            "page_token": ["x", "01a2"],
            "since": ["yesterday", "2026-13-01T00:00:00Z"],
            "until": ["x"],
            "batch_id": ["x"],
            "view": ["fulll"],
            "statsu": ["pending"],
        },
        "GET jobs/HELD/status": {"wait": ["61", "-1", "x", "1e9"], "after": ["x", "-1"], "wiat": ["1"]},
        "GET jobs/DONE/result": {
            "format": ["xlsx", "cvs", "feather"],
            "limit": ["0", "x", "-5"],
            "page_token": ["x"],
            "table": ["nope"],
            "columns": ["nope"],
            "sort": ["nope", "-nope"],
            "where": ["nope = 1", "select 1", ")"],
            "colums": ["mean"],
        },
        "GET jobs/DONE/tasks": {"limit": ["0", "1001", "x"], "page_token": ["x"]},
        "GET jobs/DONE/logs": {"limit": ["0", "x"], "task": ["nope"], "follow": ["perhaps"], "page_token": ["x"]},
        "GET jobs/DONE/events": {"from": ["then"]},
        "GET queue/status": {"limit": ["-1", "1001", "x"]},
        "GET events": {"job_id": ["x"], "type": ["job.stautus"]},
    },
    "cluster": {
        "GET metrics/cluster": {"since": ["x"], "step": ["0", "x", "-1"]},
        "GET cluster/autoscale/decisions": {"limit": ["0", "x"], "page_token": ["x"]},
        "GET resources/usage": {"by": ["users"], "since": ["x"]},
        "GET resources/recommendations": {"operation": ["agregate"], "opertion": ["noop"]},
        "POST cluster/start": {"wait": ["-1", "x"]},
        "POST cluster/stop": {"wait": ["61"]},
    },
    "data": {
        "GET data/datasets": {"limit": ["x", "0", "1001"], "q": ["1"], "page_token": ["x"]},
        "GET data/datasets/my_dataset": {"limit": ["0"], "page_token": ["x", "-1"], "colums": ["1"]},
    },
}

# Names in paths that are not there.
PATHS = {
    "jobs": [
        *(f"{m} jobs/{GONE}{tail}" for m, tail in [("GET", ""), ("GET", "/status"), ("GET", "/result"), ("GET", "/tasks"), ("GET", "/logs"), ("GET", "/explain"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("PATCH", "")]),
        *(f"GET jobs/{bad}" for bad in ["x", "0", "HELDx", "%00", "..%2f..", "list2", "a" * 300]),
        "GET jobs/HELD/statsu",
        "GET jobs/HELD/result",
        "POST jobs/HELD/retry",
        "POST jobs/DONE/cancel",
        "GET operations/agregate",
        "GET operations/t-test",
        "GET job/list",
        "GET jobs/lst",
    ],
    "cluster": [
        "GET cluster/workers/w1",
        "POST cluster/workers/w9/drain",
        "POST cluster/workers/w9/readmit",
        "POST cluster/scale",
        "GET cluster/statuss",
        "GET resource/limits",
        "GET nothing/of/this",
    ],
    "data": [
        "GET data/datasets/my_datset",
        "GET data/datasets/nope",
        "DELETE data/datasets/nope",
        "DELETE data/datasets/my_dataset",
        "GET data/dataset",
    ],
}

# Each with methods it does not know.
ROUTES = [
    ("cluster/start", ["GET", "PUT", "DELETE"]),
    ("cluster/status", ["POST", "DELETE"]),
    ("jobs/submit", ["GET", "PUT"]),
    ("jobs/list", ["POST", "DELETE"]),
    ("jobs/HELD", ["POST", "PUT", "DELETE"]),
    ("jobs/HELD/status", ["POST", "PATCH"]),
    ("jobs/HELD/cancel", ["GET", "DELETE"]),
    ("jobs/batch", ["GET"]),
    ("queue/status", ["POST"]),
    ("queue/pause", ["GET"]),
    ("resources/limits", ["POST", "DELETE"]),
    ("data/load", ["GET", "PUT"]),
    ("data/datasets", ["POST", "DELETE"]),
    ("operations", ["POST"]),
    ("health", ["POST"]),
]

# Bodies as bytes, with their type.
JSON = "application/json"
RAW = [
    ("POST jobs/submit", JSON, "{"),
    ("POST jobs/submit", JSON, ""),
    ("POST jobs/submit", JSON, "[]"),
    ("POST jobs/submit", JSON, '"noop"'),
    ("POST jobs/submit", JSON, "null"),
    ("POST jobs/submit", JSON, '{"operation": "noop",}'),
    ("POST jobs/submit", JSON, "{'operation': 'noop'}"),
    ("POST jobs/submit", JSON, '{"operation": "noop", "operation": "sql"}'),
    ("POST jobs/submit", JSON, '{"operation": "noop"} x'),
    ("POST jobs/submit", JSON, '{"operation": NaN}'),
    ("POST jobs/submit", JSON, '{"operation": "no\u0001op"}'),
    ("POST jobs/submit", JSON, '{"operation": "\\ud800"}'),
    ("POST jobs/submit", JSON, '{"a":' * 200 + "1" + "}" * 200),
    ("POST jobs/submit", "text/plain", '{"operation": "noop"}'),
    ("POST jobs/submit", "application/x-www-form-urlencoded", "operation=noop"),
    ("POST jobs/submit", "application/xml", "<a/>"),
    ("POST cluster/stop", "text/plain", "x"),
    ("POST data/load", "multipart/form-data", "x"),
]

# Requests that are right and whose answers stay the same.
RIGHT = {
    "jobs": [
        ("GET", "jobs/HELD/status", None),
        ("GET", "jobs/DONE/status", None),
        ("GET", "jobs/HELD", None),
        ("GET", "jobs/HELD/explain", None),
        ("GET", "jobs/DONE/explain", None),
        ("GET", "jobs/DONE/result", None),
        ("GET", "jobs/DONE/result?format=csv", None),
        ("GET", "jobs/DONE/result?format=tsv", None),
        ("GET", "jobs/DONE/result?format=ndjson", None),
        ("GET", "jobs/DONE/result?columns=operation,mean&limit=1", None),
        ("GET", "jobs/DONE/tasks", None),
        ("GET", "jobs/DONE/logs", None),
        ("GET", "jobs/list", None),
        ("GET", "jobs/list?view=full&limit=1", None),
        ("GET", "jobs/list?status=completed", None),
        ("GET", "jobs/list?operation=noop&status=pending", None),
        ("GET", "queue/status", None),
        ("POST", "jobs/validate", {"operation": "noop", "parameters": {"tasks": 3}}),
        ("POST", "jobs/validate", {"operation": "aggregate", "dataset_id": "my_dataset", "parameters": {"column": "expression", "operation": "mean"}}),
        ("GET", "operations/noop", None),
        ("GET", "operations/aggregate", None),
        ("GET", "operations/differential", None),
    ],
    "cluster": [
        ("GET", "cluster/status", None),
        ("GET", "cluster/autoscale", None),
        ("GET", "cluster/autoscale/decisions?limit=1", None),
        ("GET", "resources/limits", None),
        ("GET", "resources/usage", None),
        ("GET", "resources/usage?by=operation", None),
        ("GET", "faults/statistics", None),
        ("GET", "health", None),
        ("GET", "/livez", None),
        ("GET", "/readyz", None),
    ],
    "data": [
        ("GET", "data/datasets", None),
        ("GET", "data/datasets/my_dataset", None),
        ("GET", "data/datasets/my_dataset?limit=2&page_token=3", None),
        ("POST", "data/partition", {"dataset_id": "my_dataset", "partition_size": "1kB", "limit": 2}),
        ("POST", "data/partition", {"path": "my_dataset.csv"}),
    ],
}

# Names nearly right, in the place of fields: of each body one.
MISTYPED = {
    "jobs": [
        ("POST jobs/submit", {"operation": "noop", wrong: 1})
        for wrong in ["max_memory", "max_core", "priorty", "n_worker", "dataset", "params", "timeout", "retries", "Operation", "depends", "zzz"]
    ]
    + [("POST jobs/batch", {"default": {}, "jobs": [{}]}), ("POST jobs/cancel", {}), ("POST jobs/cancel", {"users": "ada"}), ("PATCH jobs/HELD", {"prio": 1}), ("PATCH jobs/HELD", {}), ("POST jobs/HELD/cancel", {"force": True})],
    "cluster": [
        ("POST cluster/start", {wrong: 1}) for wrong in ["workers", "n_worker", "threads", "memory", "scheduler"]
    ]
    + [("POST cluster/scale", {}), ("POST cluster/scale", {"workers": 3}), ("PUT cluster/autoscale", {"minimum": 1}), ("POST queue/resume", {"reason": "x"})],
    "data": [("POST data/load", body) for body in [{}, {"dataset_id": "x"}, {"source": "my_dataset.csv"}, {"dataset": "x", "source": "y"}, {"dataset_id": "x", "source": "my_dataset.csv", "rows": [{"a": 1}]}]]
    + [("POST data/partition", body) for body in [{}, {"dataset_id": "my_dataset", "path": "my_dataset.csv"}, {"dataset_id": "my_dataset", "size": "1MB"}]],
}


def cases(group):
    """(method, path, body or None, content type or None) of one group, in order."""
    found = []

    def add(route, body=None, kind=None):
        method, path = route.split(" ", 1)
        found.append((method, path, body, kind))

    for route, right, fields in BODIES.get(group, []):
        for field, values in fields.items():
            for value in WRONG[values] if isinstance(values, str) else values:
                add(route, {**right, field: value})
    for route, body in MISTYPED.get(group, []):
        add(route, body)
    for route, parameters in QUERIES.get(group, {}).items():
        for name, values in parameters.items():
            for value in values:
                add(f"{route}?{name}={value.replace(' ', '%20')}")
    for route in PATHS.get(group, []):
        add(route)
    for method, path, body in RIGHT.get(group, []):
        add(f"{method} {path}", body)
    if group == "http":
        for path, methods in ROUTES:
            for method in methods:
                add(f"{method} {path}")
        for route, kind, text in RAW:
            add(route, text, kind)
    return found


GROUPS = ["jobs", "cluster", "data", "http"]
