"""Models that come and go, sessions that stay with theirs, DNA, Arrow payloads, and states that move to another server."""

import hashlib, io, subprocess

import grpc, pyarrow, pytest

from conftest import BINARY, Server
from test_serve import V1, VALUES, append, embedding, events, forecast, model, models, refused, session, sessions

BASES = "ACGTTGCANNACGGGT" * 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed in ("1", "2"):
        words = "init --d-model 16 --layers 2 --name dna --seed".split()
        subprocess.run([BINARY, *words, seed, folder / "shelf" / f"dna-{seed}"], check=True, capture_output=True)
    return folder


def dna(number, bases, name, **more):
    given = events.Events(bases=bases)
    return session.AppendRequest(session_id=name, sequence_number=number, events=given, **more)


def test_several_versions_serve_at_once(folder):
    server = Server("--models-dir", "shelf", "--data-dir", "kept", folder=folder)
    shelf = models.ModelServiceStub(server.channel())
    load = lambda path: shelf.LoadModel(model.LoadModelRequest(path=path)).model
    old, new = load("dna-1"), load("dna-2")
    assert old.name == new.name == "dna" and old.digest != new.digest and old.input == model.INPUT_KIND_DNA
    # The newest answers to the name, each to its digest.
    assert shelf.GetModel(model.GetModelRequest(model="dna")).model == new
    assert shelf.GetModel(model.GetModelRequest(model=old.digest)).model.digest == old.digest
    for path in ("../shelf/dna-1", "/etc", "", "nothing"):
        with pytest.raises(grpc.RpcError) as error:
            load(path)
        assert error.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    stub = sessions.SessionServiceStub(server.channel())
    layers = session.SessionOptions(layers=[2])
    for name, which in (("old", old), ("new", new)):
        stub.Open(session.OpenRequest(session_id=name, model=which.digest, options=layers))
        reply = stub.Append(dna(1, BASES, name, pooling=embedding.POOLING_MEAN))
        assert reply.provenance.digest == which.digest and len(reply.embeddings) == 16
    before = stub.Read(session.ReadRequest(session_id="old", pooling=embedding.POOLING_MEAN)).embeddings
    # Unloaded, a model takes no new sessions; those that it has go on, after a restart too.
    shelf.UnloadModel(model.UnloadModelRequest(digest=old.digest))
    refused(lambda: stub.Open(session.OpenRequest(model=old.digest)), grpc.StatusCode.NOT_FOUND)
    assert server.stop() == 0
    server = Server("--data-dir", "kept", folder=folder)
    stub = sessions.SessionServiceStub(server.channel())
    after = stub.Read(session.ReadRequest(session_id="old", pooling=embedding.POOLING_MEAN))
    assert after.embeddings == before and after.session.provenance.digest == old.digest
    assert stub.Append(dna(2, "acgu", "old")).position == len(BASES) + 4
    refused(lambda: stub.Append(dna(3, "ACGX", "old")), grpc.StatusCode.INVALID_ARGUMENT)
    assert server.stop() == 0


def ipc(**columns):
    table, sink = pyarrow.table(columns), io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_arrow_payloads_give_the_same(server):
    channel = server.channel()
    given = [VALUES, VALUES[:100]]
    fields = lambda values: events.Events(values=events.Values(values=values))
    embed = V1["embedding"][1].EmbeddingServiceStub(channel).Embed
    plain = embed(embedding.EmbedRequest(sequences=[embedding.Sequence(events=fields(v)) for v in given])).embeddings
    table = embed(embedding.EmbedRequest(arrow_ipc=ipc(id=["a", "b"], values=given))).arrow_ipc
    table = pyarrow.ipc.open_stream(table).read_all().to_pydict()
    assert table["id"] == ["a", "b"] and table["embedding"] == [list(e.values) for e in plain]
    ahead = V1["forecast"][1].ForecastServiceStub(channel).Forecast
    options = forecast.ForecastOptions(horizon=5)
    series = forecast.SeriesBatch(series=[forecast.Series(values=events.Values(values=v)) for v in given])
    plain = ahead(forecast.ForecastRequest(series=series, options=options))
    table = ahead(forecast.ForecastRequest(arrow_ipc=ipc(values=given), options=options)).arrow_ipc
    table = pyarrow.ipc.open_stream(table).read_all().to_pydict()
    flat = [q for row in table["quantiles"] for q in row]
    assert flat == [q for one in plain.forecasts for q in one.quantiles] and table["step"] == [1, 2, 3, 4, 5] * 2
    # A session takes a column, and is forecast from as it stands.
    stub = sessions.SessionServiceStub(channel)
    stub.Open(session.OpenRequest(session_id="column", options=session.SessionOptions(anomaly=True)))
    column = events.Events(arrow_ipc=ipc(value=VALUES))
    reply = stub.Append(session.AppendRequest(session_id="column", sequence_number=1, events=column, forecast=options))
    assert len(reply.scores) == len(VALUES)
    told = ahead(forecast.ForecastRequest(session_id="column", options=options))
    assert told.forecasts[0].quantiles == reply.quantiles and told.provenance.model == "series-3"


def test_a_state_moves_to_another_server(server, tmp_path):
    stub = sessions.SessionServiceStub(server.channel())
    stub.Open(session.OpenRequest(session_id="moves"))
    stub.Append(append(1, VALUES, "moves"))
    snapshot = stub.Snapshot(session.SnapshotRequest(session_id="moves")).snapshot
    other = Server(folder=tmp_path)
    there = sessions.SessionServiceStub(other.channel())
    restored = there.Restore(session.RestoreRequest(snapshot=snapshot, session_id="moved")).session
    assert restored.next_sequence_number == 2 and not restored.provenance.route_changed
    more = dict(forecast=forecast.ForecastOptions(horizon=70))
    # Both go on to the same bits; a repetition of the last append before the move is known there too.
    assert there.Append(append(1, VALUES, "moved")).replayed
    assert stub.Append(append(2, VALUES, "moves", **more)).quantiles == there.Append(append(2, VALUES, "moved", **more)).quantiles
    assert other.stop() == 0


def test_variants_are_scored(folder):
    server = Server("--model", "shelf/dna-1", folder=folder)
    variant, variants = V1["variant"]
    score = variants.VariantServiceStub(server.channel()).Score
    change = variant.Variant(id="change", position=20, reference="T", alternative="C")
    loss = variant.Variant(id="loss", position=34, reference="GTT", alternative="G")
    wrong = variant.Variant(id="wrong", position=20, reference="A", alternative="C")
    reply = score(variant.ScoreRequest(bases=BASES, variants=[change, wrong, loss]))
    assert [(s.index, s.id) for s in reply.scores] == [(0, "change"), (2, "loss")]
    first = reply.scores[0]
    assert first.score == (first.forward.log_ratio + first.reverse.log_ratio) / 2 != 0
    assert first.forward.context == 20 and first.forward.window == len(BASES) - 20
    assert reply.rejects[0].index == 1 and "REF is A, but the reference has T there" in reply.rejects[0].reason
    alone = score(variant.ScoreRequest(bases=BASES, variants=[loss]))
    assert alone.scores[0].score == reply.scores[1].score and reply.provenance.model == "dna"
    refused(lambda: score(variant.ScoreRequest(bases=BASES, start=1)), grpc.StatusCode.INVALID_ARGUMENT)
    refused(lambda: score(variant.ScoreRequest(bases=BASES, model="nothing")), grpc.StatusCode.NOT_FOUND)
    assert server.stop() == 0


def test_a_long_prefill_starves_nobody(folder):
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("greedy", "modest")}
    tenants = "".join(f"[[tenants]]\nname = '{n}'\ntoken_sha256 = ['{h}']\n" for n, h in hashes.items())
    (folder / "u.toml").write_text(tenants)
    server = Server("--config", "u.toml", "--model", "shelf/dna-1", "--threads", "1", folder=folder)
    token = lambda name: [("authorization", f"Bearer {name}")]
    embed = V1["embedding"][1].EmbeddingServiceStub(server.channel()).Embed
    long = embedding.EmbedRequest(sequences=[embedding.Sequence(events=events.Events(bases="ACGTTGCA" * 65_536))])
    # As much as the tenant's share of the queue takes.
    flood = embed.future(long, metadata=token("greedy"))
    stub = sessions.SessionServiceStub(server.channel())
    stub.Open(session.OpenRequest(session_id="s"), metadata=token("modest"))
    for number in range(1, 21):
        assert stub.Append(dna(number, "A", "s"), metadata=token("modest")).position == number
    # They were all answered in the midst of it.
    assert not flood.done()
    full = refused(lambda: embed(long, metadata=token("greedy")), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert any(key == "grpc-status-details-bin" for key, _ in full.trailing_metadata())
    assert flood.result().embeddings[0].events == 8 * 65_536
    assert server.stop() == 0
