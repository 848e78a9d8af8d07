"""`unspool serve` through a real socket, with the ecosystem's own clients."""

import hashlib, json, math, subprocess, urllib.request

import grpc, pyarrow, pyarrow.flight, pytest, trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from conftest import BINARY, Server

V1 = {n: grpc.protos_and_services(f"unspool/v1/{n}.proto") for n in ("embedding", "forecast", "model", "session", "events", "variant")}
(embedding, embeddings), (forecast, forecasts) = V1["embedding"], V1["forecast"]
(model, models), (session, sessions), (events, _) = V1["model"], V1["session"], V1["events"]
VALUES = [math.sin(i / 7) for i in range(300)]


def refused(call, code):
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert error.value.code() == code, error.value
    return error.value


def append(number, values, name="a", **more):
    given = events.Events(values=events.Values(values=values))
    return session.AppendRequest(session_id=name, sequence_number=number, events=given, **more)


def test_forecast_and_embed(server):
    channel = server.channel()
    series = forecast.SeriesBatch(series=[forecast.Series(id="s", values=events.Values(values=VALUES))])
    ask = forecast.ForecastRequest(series=series, options=forecast.ForecastOptions(horizon=12))
    reply = forecasts.ForecastServiceStub(channel).Forecast(ask)
    assert len(reply.forecasts[0].quantiles) == 12 * len(reply.levels)
    one = embedding.Sequence(id="s", events=events.Events(values=events.Values(values=VALUES)))
    stub = embeddings.EmbeddingServiceStub(channel)
    alone = stub.Embed(embedding.EmbedRequest(sequences=[one]))
    many = stub.Embed(embedding.EmbedRequest(sequences=[one] * 5))
    assert len(alone.embeddings[0].values) == alone.width
    # The batch law, through the server.
    assert all(e.values == alone.embeddings[0].values for e in many.embeddings)


def test_sessions_are_exact(server):
    stub = sessions.SessionServiceStub(server.channel())
    for name in ("a", "b"):
        stub.Open(session.OpenRequest(session_id=name))
    ahead = forecast.ForecastOptions(horizon=3)
    whole = stub.Append(append(1, VALUES, forecast=ahead))
    for number, value in enumerate(VALUES[:-1], 1):
        stub.Append(append(number, [value], "b"))
    last = stub.Append(append(len(VALUES), VALUES[-1:], "b", forecast=ahead))
    assert list(last.quantiles) == list(whole.quantiles)
    again = stub.Append(append(1, VALUES, forecast=ahead))
    assert again.replayed and list(again.quantiles) == list(whole.quantiles)
    gap = refused(lambda: stub.Append(append(9, [1.0])), grpc.StatusCode.FAILED_PRECONDITION)
    assert "2 is expected" in gap.details()
    saved = stub.Snapshot(session.SnapshotRequest(session_id="a")).snapshot
    stub.Restore(session.RestoreRequest(snapshot=saved, session_id="c"))
    stub.Fork(session.ForkRequest(session_id="a", fork_session_id="d"))
    quantiles = [stub.Read(session.ReadRequest(session_id=n, forecast=ahead)).quantiles for n in "abcd"]
    assert all(q == quantiles[0] for q in quantiles)
    assert [s.session_id for s in stub.List(session.ListRequest()).sessions] == list("abcd")
    refused(lambda: stub.Restore(session.RestoreRequest(snapshot=saved[:-1])), grpc.StatusCode.INVALID_ARGUMENT)
    for name in "abcd":
        stub.Close(session.CloseRequest(session_id=name))
    refused(lambda: stub.Read(session.ReadRequest(session_id="a")), grpc.StatusCode.NOT_FOUND)


def test_stream_half_closed(server):
    stub = sessions.SessionServiceStub(server.channel())
    stub.Open(session.OpenRequest(session_id="s"))
    asked = (session.StreamRequest(tag=i, appends=[append(i, [1.0], "s")]) for i in range(1, 21))
    replies = list(stub.Stream(asked))
    assert [r.tag for r in replies] == list(range(1, 21))
    assert replies[-1].results[0].reply.position == 20


def test_health_and_reflection(server):
    check = health_pb2_grpc.HealthStub(server.channel()).Check
    for name in ("", "unspool.v1.SessionService", "arrow.flight.protocol.FlightService"):
        assert check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
    listed = ProtoReflectionDescriptorDatabase(server.channel())
    assert "unspool.v1.ForecastService" in listed.get_services()
    assert listed.FindFileContainingSymbol("unspool.v1.SessionService").package == "unspool.v1"


def exchange(client, command, table, options=None):
    descriptor = pyarrow.flight.FlightDescriptor.for_command(json.dumps(command))
    writer, reader = client.do_exchange(descriptor, options)
    with writer:
        writer.begin(table.schema)
        for batch in table.to_batches():
            writer.write_batch(batch)
        writer.done_writing()
        return reader.read_all()


def test_flight(server):
    client = pyarrow.flight.connect(f"grpc://{server.address}")
    table = pyarrow.table({"id": ["x", "y"], "values": [VALUES, VALUES[:100]]})
    told = exchange(client, {"call": "forecast", "horizon": 5}, table)
    assert told.num_rows == 10 and told.column_names == ["index", "id", "step", "quantiles"]
    assert exchange(client, {"call": "embed"}, table)["id"].to_pylist() == ["x", "y"]
    scored = exchange(client, {"call": "score"}, table)
    assert scored.num_rows == len(VALUES) + 100 and scored.column_names == ["index", "id", "event", "p_value"]
    assert scored["p_value"].null_count < 100
    with pytest.raises(pyarrow.lib.ArrowInvalid, match="JSON such as"):
        exchange(client, {"call": "nothing"}, table)


def test_wrong_everything(server):
    channel = server.channel()
    raw = channel.unary_unary("/unspool.v1.ForecastService/Forecast")
    malformed = refused(lambda: raw(b"\xff\xff\xff"), grpc.StatusCode.INTERNAL)
    assert "decode" in malformed.details()
    refused(lambda: raw(b"\x0a" + bytes(65 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED)
    refused(lambda: channel.unary_unary("/unspool.v1.Nothing/Call")(b""), grpc.StatusCode.UNIMPLEMENTED)
    stub = forecasts.ForecastServiceStub(channel)
    ipc = forecast.ForecastRequest(arrow_ipc=b"nonsense", options=forecast.ForecastOptions(horizon=1))
    refused(lambda: stub.Forecast(ipc), grpc.StatusCode.INVALID_ARGUMENT)
    probe = lambda path: urllib.request.urlopen(f"http://{server.probes}/{path}").read().decode()
    assert probe("readyz") == "ready\n" and "unspool_calls_total" in probe("metrics")


def test_tokens(tmp_path):
    tenant = "[[tenants]]\nname = '{}'\ntoken_sha256 = ['{}']\nsessions = 1\n"
    hashes = {n: hashlib.sha256(n.encode()).hexdigest() for n in ("one", "two")}
    (tmp_path / "u.toml").write_text("".join(tenant.format(n, h) for n, h in hashes.items()))
    server = Server("--config", "u.toml", folder=tmp_path)
    try:
        stub = sessions.SessionServiceStub(server.channel())
        token = lambda name: [("authorization", f"Bearer {name}")]
        for metadata in ([], token("wrong")):
            refused(lambda: stub.List(session.ListRequest(), metadata=metadata), grpc.StatusCode.UNAUTHENTICATED)
        health = health_pb2_grpc.HealthStub(server.channel())
        refused(lambda: health.Check(health_pb2.HealthCheckRequest()), grpc.StatusCode.UNAUTHENTICATED)
        listed = ProtoReflectionDescriptorDatabase(server.channel())
        refused(listed.get_services, grpc.StatusCode.UNAUTHENTICATED)
        client = pyarrow.flight.connect(f"grpc://{server.address}")
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
            exchange(client, {"call": "embed"}, pyarrow.table({"values": [VALUES]}))
        options = pyarrow.flight.FlightCallOptions(headers=[(b"authorization", b"Bearer one")])
        exchange(client, {"call": "embed"}, pyarrow.table({"values": [VALUES]}), options)
        stub.Open(session.OpenRequest(session_id="mine"), metadata=token("one"))
        full = lambda: stub.Open(session.OpenRequest(session_id="more"), metadata=token("one"))
        full = refused(full, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert any(key == "grpc-status-details-bin" for key, _ in full.trailing_metadata())
        assert not stub.List(session.ListRequest(), metadata=token("two")).sessions
        read = lambda: stub.Read(session.ReadRequest(session_id="mine"), metadata=token("two"))
        refused(read, grpc.StatusCode.NOT_FOUND)
    finally:
        assert server.stop() == 0


def test_mutual_tls(tmp_path):
    ours, other = trustme.CA(), trustme.CA()
    certificate, client = ours.issue_cert("localhost"), ours.issue_cert("client")
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    words = "--tls-cert cert.pem --tls-key key.pem --tls-client-ca ca.pem".split()
    server = Server(*words, folder=tmp_path)
    try:
        address = f"localhost:{server.address.rsplit(':')[-1]}"

        def ask(root, key=None, chain=None):
            credentials = grpc.ssl_channel_credentials(root.cert_pem.bytes(), key, chain)
            with grpc.secure_channel(address, credentials) as channel:
                return models.ModelServiceStub(channel).ListModels(model.ListModelsRequest(), timeout=10)

        identity = (client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes())
        assert len(ask(ours, *identity).models) == 2
        stranger = other.issue_cert("client")
        for root, *shown in [
            (ours,),
            (other, *identity),
            (ours, stranger.private_key_pem.bytes(), stranger.cert_chain_pems[0].bytes()),
        ]:
            refused(lambda: ask(root, *shown), grpc.StatusCode.UNAVAILABLE)
        with grpc.insecure_channel(server.address) as plain:
            call = lambda: models.ModelServiceStub(plain).ListModels(model.ListModelsRequest(), timeout=10)
            refused(call, grpc.StatusCode.UNAVAILABLE)
    finally:
        assert server.stop() == 0


def test_sessions_outlive_the_server_and_move_to_another_model(tmp_path):
    (tmp_path / "u.toml").write_text("data_dir = 'kept'\n[limits]\nsession_history_bytes = 4096\n")
    ahead = forecast.ForecastOptions(horizon=3)
    server = Server("--config", "u.toml", folder=tmp_path)
    stub = sessions.SessionServiceStub(server.channel())
    for name, values in (("short", VALUES), ("long", VALUES * 10)):
        stub.Open(session.OpenRequest(session_id=name, model="series-3"))
        for number, begin in enumerate(range(0, len(values), 100), 1):
            assert stub.Append(append(number, values[begin : begin + 100], name)).durable
    before = stub.Read(session.ReadRequest(session_id="short", forecast=ahead)).quantiles
    # As a crash would end it.
    server.process.kill()
    server.process.wait()
    server = Server("--config", "u.toml", folder=tmp_path)
    stub = sessions.SessionServiceStub(server.channel())
    assert stub.Read(session.ReadRequest(session_id="short", forecast=ahead)).quantiles == before
    stub.Open(session.OpenRequest(session_id="fresh", model="series-1"))
    stub.Append(append(1, VALUES, "fresh"))
    expected = stub.Read(session.ReadRequest(session_id="fresh", forecast=ahead)).quantiles
    assert server.stop() == 0
    migrate = [BINARY, "sessions", "migrate", "--data-dir", "kept", "--to", "series-1", "short", "long"]
    moved = subprocess.run(migrate, cwd=tmp_path, capture_output=True, text=True)
    assert "short: moved" in moved.stdout and "are not kept" in moved.stdout, moved
    assert moved.returncode != 0 and "1 of 2 sessions were not moved" in moved.stderr
    server = Server("--config", "u.toml", folder=tmp_path)
    stub = sessions.SessionServiceStub(server.channel())
    read = stub.Read(session.ReadRequest(session_id="short", forecast=ahead))
    assert read.session.provenance.model == "series-1" and read.quantiles == expected
    assert server.stop() == 0
