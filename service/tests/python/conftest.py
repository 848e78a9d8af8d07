"""A server of the binary for each test module, and clients made from the .proto files."""

import os, pathlib, subprocess, sys

import grpc, pytest

ROOT = pathlib.Path(__file__).parents[3]
BINARY = os.environ.get("UNSPOOL_BIN", str(ROOT / "target/release/unspool"))
sys.path.insert(0, str(ROOT / "proto"))


class Server:
    def __init__(self, *arguments, folder, **more):
        """`more`: settings by environment variables."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("UNSPOOL_")} | more
        words = [BINARY, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *arguments]
        self.log = folder / "server.log"
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        self.probes = self.process.stdout.readline().split()[-1]
        line = self.process.stdout.readline()
        assert line.startswith("unspool is ready on "), line
        self.address = line.split()[-1]

    def channel(self):
        return grpc.insecure_channel(self.address)

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(folder=tmp_path_factory.mktemp("server"))
    yield server
    assert server.stop() == 0
