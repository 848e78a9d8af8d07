"""What operators see: metrics, probes, traces over OTLP, the log, and settings from file, environment and flags."""

import hashlib, json, subprocess, threading, urllib.request
from concurrent import futures

import grpc, pytest

from conftest import BINARY, Server
from test_serve import VALUES, append, refused, session, sessions


class Collector(grpc.GenericRpcHandler):
    """Takes traces, as a collector of OpenTelemetry does."""

    def __init__(self):
        self.got, self.came = [], threading.Event()

    def service(self, details):
        if details.method == "/opentelemetry.proto.collector.trace.v1.TraceService/Export":
            return grpc.unary_unary_rpc_method_handler(self.export)

    def export(self, request, context):
        self.got.append(request)
        self.came.set()
        return b""


def test_traces_go_to_a_collector(tmp_path):
    collector, ends = Collector(), grpc.server(futures.ThreadPoolExecutor(2))
    ends.add_generic_rpc_handlers([collector])
    port = ends.add_insecure_port("127.0.0.1:0")
    ends.start()
    server = Server("--otlp-endpoint", f"http://127.0.0.1:{port}", folder=tmp_path)
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = [("traceparent", f"00-{trace}-b7ad6b7169203331-01")]
    stub = sessions.SessionServiceStub(server.channel())
    stub.List(session.ListRequest(), metadata=metadata)
    # What is left is sent at the end.
    assert server.stop() == 0 and collector.came.wait(60)
    got = b"".join(collector.got)
    assert b"/unspool.v1.SessionService/List" in got and b"service.name" in got
    assert bytes.fromhex(trace) in got, "it is part of the caller's trace"


def test_the_log_is_structured_and_keeps_secrets(tmp_path):
    token = "a-token-that-nobody-may-read"
    tenant = f"[[tenants]]\nname = 'one'\ntoken_sha256 = ['{hashlib.sha256(token.encode()).hexdigest()}']\n"
    (tmp_path / "u.toml").write_text(tenant)
    server = Server("--config", "u.toml", "--log-format", "json", folder=tmp_path, UNSPOOL_LOG="trace")
    stub = sessions.SessionServiceStub(server.channel())
    stub.Open(session.OpenRequest(session_id="s"), metadata=[("authorization", f"Bearer {token}")])
    refused(lambda: stub.List(session.ListRequest(), metadata=[("authorization", "Bearer wrong-one")]), grpc.StatusCode.UNAUTHENTICATED)
    assert server.stop() == 0
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line.get("fields", {}).get("message") == "ready" for line in lines)
    assert any("SessionService/Open" in json.dumps(line) for line in lines)
    assert token not in log and "wrong-one" not in log


def test_metrics_and_probes(tmp_path):
    server = Server("--data-dir", "kept", folder=tmp_path)
    stub = sessions.SessionServiceStub(server.channel())
    stub.Open(session.OpenRequest(session_id="s"))
    stub.Append(append(1, VALUES, "s"))
    refused(lambda: stub.Append(append(5, VALUES, "s")), grpc.StatusCode.FAILED_PRECONDITION)
    probe = lambda path: urllib.request.urlopen(f"http://{server.probes}/{path}").read().decode()
    assert (probe("livez"), probe("readyz")) == ("alive\n", "ready\n")
    metrics = dict(line.rsplit(" ", 1) for line in probe("metrics").splitlines() if not line.startswith("#") and line)
    call = 'unspool_calls_total{method="/unspool.v1.SessionService/Append",code="%d"}'
    assert metrics[call % 0] == metrics[call % 9] == "1"
    assert float(metrics["unspool_events_total"]) >= len(VALUES) and float(metrics["unspool_batch_fill_ratio_count"]) > 0
    for name in ["unspool_queue_tasks", "unspool_queue_tokens", "unspool_log_bytes", "unspool_store_ok", 'unspool_sessions{tier="device"}',
                 "unspool_store_errors_total", 'unspool_call_seconds_bucket{method="/unspool.v1.SessionService/Append",le="0.1"}']:
        assert name in metrics, name
    assert (metrics["unspool_store_ok"], metrics["unspool_store_errors_total"]) == ("1", "0")
    assert server.stop() == 0


def check(folder, *arguments, **environment):
    return subprocess.run([BINARY, "serve", "--check", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    (tmp_path / "u.toml").write_text("listen = '127.0.0.1:1'\nmetrics_listen = '127.0.0.1:2'\ndata_dir = 'd'\n[limits]\nsessions = 7\n")
    told = check(tmp_path, "--config", "u.toml", "--listen", "127.0.0.1:3", UNSPOOL_LISTEN="127.0.0.1:4", UNSPOOL_METRICS_LISTEN="127.0.0.1:5")
    assert told.returncode == 0, told.stderr
    for line in ("127.0.0.1:3", "127.0.0.1:5", "series-3, series-1", "sessions: 7"):
        assert line in told.stdout, told.stdout
    (tmp_path / "bad.toml").write_text("[limits]\nsesions = 7\n")
    for arguments, reason in [
        (["--config", "bad.toml"], "bad.toml, line 2: unknown field `sesions`"),
        (["--listen", "0.0.0.0:1"], "in plain text: give --tls-cert and --tls-key, listen on 127.0.0.1, or say --allow-insecure"),
        (["--model", "nowhere"], "nowhere"),
        (["--tls-cert", "x"], "--tls-key"),
    ]:
        told = check(tmp_path, *arguments)
        assert told.returncode != 0 and reason in told.stderr and told.stderr.count("\n") == 1, told
