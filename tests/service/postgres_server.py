"""A PostgreSQL server of the tests' own: from Debian's package, in a temporary folder, on a free port."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

import pytest

PASSWORD = "kept:from@logs"


def programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    if found:
        return found[0].parent
    path = shutil.which("postgres")
    if path and pathlib.Path(path).resolve().parent.joinpath("initdb").exists():
        return pathlib.Path(path).resolve().parent
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class PostgresServer:
    def __init__(self, folder):
        bin_folder = programs()
        if bin_folder is None:
            pytest.skip("PostgreSQL is not installed (scripts/setup.sh --tests installs it): NOT TESTED")
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True)
        self.account = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                user = pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            for parent in folder.parents:  # pytest's folders are the owner's alone
                if parent == pathlib.Path("/tmp") or parent == pathlib.Path("/"):
                    break
                parent.chmod(parent.stat().st_mode | 0o011)
            self.account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.data = folder / "data"
        made = subprocess.run(
            [bin_folder / "initdb", "-D", self.data, "-U", "owner", "-A", "scram-sha-256", "--no-sync"]
            + ["--encoding=UTF8", "--locale=C", f"--pwfile={secret}"],
            capture_output=True,
            text=True,
            cwd=folder,
            **self.account,
        )
        assert made.returncode == 0, made.stderr
        self.log = open(folder / "server.log", "wb")
        self.process = subprocess.Popen(
            [bin_folder / "postgres", "-D", self.data, "-p", str(self.port), "-k", str(folder)]
            + ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "unix_socket_directories="],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            **self.account,
        )
        self.psql = bin_folder / "psql"
        end = time.monotonic() + 120
        while subprocess.run(
            [bin_folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        ).returncode:
            assert self.process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < end, (folder / "server.log").read_text()
            time.sleep(0.1)

    def sql(self, text):
        """Rows of text fields of what a script answers."""
        answer = subprocess.run(
            [self.psql, "-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1"]
            + ["-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", "postgres"],
            input=text,
            capture_output=True,
            text=True,
            env={**os.environ, "PGPASSWORD": PASSWORD},
        )
        assert answer.returncode == 0, answer.stderr
        return [line.split("\x1f") for line in answer.stdout.splitlines()]

    def connections(self, path, name="lab"):
        """The file of credentials that names this server."""
        from urllib.parse import quote

        address = f"postgresql://owner:{quote(PASSWORD)}@127.0.0.1:{self.port}/postgres"
        path.write_text(f"# of the tests\n{name} = {address}\n")
        path.chmod(0o600)
        return path

    def stop(self):
        self.process.send_signal(2)  # fast shutdown
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
