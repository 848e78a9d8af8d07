"""Requests that nobody should send, to every method: each gets a refusal that says why, and the server goes on."""

import json, pathlib, random, re

import grpc, pyarrow, pytest

from conftest import Server
from test_serve import V1, VALUES, append, embedding, events, forecast, model, session, sessions

Code = grpc.StatusCode
# What a bad request may get. INTERNAL: the library cannot decode it; anything else would be a fault of the server's.
BAD = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.RESOURCE_EXHAUSTED, Code.ALREADY_EXISTS}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "u.toml").write_text("[limits]\nmessage_bytes = 100000\nrequest_sequences = 10\nrequest_events = 5000\nhorizon = 100\n")
    server = Server("--config", "u.toml", folder=folder)
    yield server
    assert server.stop() == 0


def requests():
    """A good request for each unary method."""
    given = events.Events(values=events.Values(values=VALUES))
    series = forecast.SeriesBatch(series=[forecast.Series(id="s", values=given.values)])
    options = forecast.ForecastOptions(horizon=3, levels=[0.1, 0.5])
    yield "EmbeddingService/Embed", embedding.EmbedRequest(sequences=[embedding.Sequence(id="s", events=given)], layer=3)
    yield "ForecastService/Forecast", forecast.ForecastRequest(series=series, options=options, anomaly=True)
    yield "ModelService/ListModels", model.ListModelsRequest()
    yield "ModelService/GetModel", model.GetModelRequest(model="series-1")
    yield "ModelService/LoadModel", model.LoadModelRequest(path="x")
    yield "ModelService/UnloadModel", model.UnloadModelRequest(digest="0" * 64)
    named = session.OpenRequest(session_id="x", ttl_s=5, options=session.SessionOptions(layers=[1], anomaly=True))
    yield "SessionService/Open", named
    yield "SessionService/Append", append(1, VALUES, "x", forecast=options, pooling=1)
    yield "SessionService/Read", session.ReadRequest(session_id="x", forecast=options, pooling=2)
    yield "SessionService/Fork", session.ForkRequest(session_id="x", fork_session_id="y")
    yield "SessionService/Snapshot", session.SnapshotRequest(session_id="x")
    yield "SessionService/Restore", session.RestoreRequest(snapshot=b"UNSP" * 20, session_id="z")
    yield "SessionService/List", session.ListRequest(page_size=3, page_token="x", prefix="x")
    yield "SessionService/Close", session.CloseRequest(session_id="x")


def mutated(draw, message):
    """Bytes that were a message: cut, flipped, doubled, or noise."""
    data = bytearray(message)
    kind = draw.randrange(4)
    if kind == 0:
        return bytes(data[: draw.randrange(len(data) + 1)])
    if kind == 1:
        return draw.randbytes(draw.randrange(200))
    for _ in range(draw.randrange(1, 5)):
        if data:
            data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data) * (1 + kind % 2)


def test_malformed(small):
    draw, channel = random.Random(5), small.channel()
    for method, good in requests():
        call = channel.unary_unary(f"/unspool.v1.{method}")
        for _ in range(60):
            try:
                call(mutated(draw, good.SerializeToString()), timeout=30)
            except grpc.RpcError as error:
                undecoded = error.code() == Code.INTERNAL and "decode" in error.details()
                assert undecoded or error.code() in BAD, (method, error.code(), error.details())
                assert "a fault" not in error.details()
    stream = channel.stream_stream("/unspool.v1.SessionService/Stream")
    good = session.StreamRequest(tag=1, appends=[append(1, VALUES, "x")]).SerializeToString()
    for _ in range(60):
        try:
            list(stream(iter([mutated(draw, good) for _ in range(3)]), timeout=30))
        except grpc.RpcError as error:
            assert error.code() in BAD | {Code.INTERNAL} and "a fault" not in error.details(), error.details()
    # It is as it was.
    stub = sessions.SessionServiceStub(channel)
    stub.Open(session.OpenRequest(session_id="sound"))
    assert stub.Append(append(1, VALUES, "sound")).position == len(VALUES)


def field(number, data):
    """A field of bytes, as protobuf writes it."""

    def varint(value):
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    return varint(number << 3 | 2) + varint(len(data)) + data


def test_malformed_columns(small):
    table = pyarrow.record_batch({"id": ["x", "y"], "values": [VALUES[:32], VALUES[:16]]})

    def parts(message):
        """Header and body of an encapsulated Arrow message."""
        data = bytes(message)
        length = int.from_bytes(data[4:8], "little")
        return data[8 : 8 + length], data[8 + length :]

    def flight(message, change=lambda data: data, extra=b""):
        header, body = parts(message)
        return extra + field(2, change(header)) + field(1000, change(body))

    descriptor = field(1, b"\x08\x02" + field(2, json.dumps({"call": "embed"}).encode()))
    draw, channel = random.Random(6), small.channel()
    exchange = channel.stream_stream("/arrow.flight.protocol.FlightService/DoExchange")
    schema, batch = table.schema.serialize(), table.serialize()
    assert len(list(exchange(iter([flight(schema, extra=descriptor), flight(batch)])))) == 2
    for _ in range(80):
        change = lambda data: mutated(draw, data) if draw.randrange(2) else data
        try:
            list(exchange(iter([flight(schema, change, descriptor), flight(batch, change)]), timeout=30))
        except grpc.RpcError as error:
            assert error.code() in BAD | {Code.INTERNAL} and "a fault" not in error.details(), error.details()
    ipc = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(ipc, table.schema) as writer:
        writer.write_batch(table)
    embed = V1["embedding"][1].EmbeddingServiceStub(channel).Embed
    good = ipc.getvalue().to_pybytes()
    assert len(embed(embedding.EmbedRequest(arrow_ipc=good)).arrow_ipc) > 0
    for _ in range(80):
        try:
            embed(embedding.EmbedRequest(arrow_ipc=mutated(draw, good)), timeout=30)
        except grpc.RpcError as error:
            assert error.code() in BAD and "a fault" not in error.details(), error.details()
    # Few bytes that claim to be followed by gigabytes: no room is made for what has not come.
    for claim in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff" b"\x00\x00\x00\x70"):
        with pytest.raises(grpc.RpcError, match="not a whole Arrow IPC stream"):
            embed(embedding.EmbedRequest(arrow_ipc=claim + good))
    # Nor for what a compressed buffer claims to unpack to.
    for codec in ("lz4", "zstd"):
        options, ipc = pyarrow.ipc.IpcWriteOptions(compression=codec), pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(ipc, table.schema, options=options) as writer:
            writer.write_batch(table)
        length, claim = (number.to_bytes(8, "little") for number in (48 * 8, 1 << 62))
        data = ipc.getvalue().to_pybytes()
        assert length in data
        with pytest.raises(grpc.RpcError, match="compressed batch"):
            embed(embedding.EmbedRequest(arrow_ipc=data.replace(length, claim)))
        packed = list(pyarrow.ipc.MessageReader.open_stream(data))[1].serialize()
        with pytest.raises(grpc.RpcError, match="compressed batch"):
            list(exchange(iter([flight(schema, extra=descriptor), flight(packed, lambda data: data.replace(length, claim))])))
    # Nor for rows whose values take no bytes.
    few, many = 74565, (1 << 31) - 2
    nulls = pyarrow.nulls(few)
    for column in (nulls, pyarrow.ListArray.from_arrays(pyarrow.array([0, few], pyarrow.int32()), nulls)):
        batch = pyarrow.record_batch([column], names=["values"])
        ipc = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(ipc, batch.schema) as writer:
            writer.write_batch(batch)
        data = ipc.getvalue().to_pybytes()
        for size in (4, 8):
            data = data.replace(few.to_bytes(size, "little"), many.to_bytes(size, "little"))
        with pytest.raises(grpc.RpcError, match="rows in|send it plain"):
            embed(embedding.EmbedRequest(arrow_ipc=data))
        head, rows = (message.serialize() for message in pyarrow.ipc.MessageReader.open_stream(data))
        with pytest.raises(grpc.RpcError, match="rows in|send it plain"):
            list(exchange(iter([flight(head, extra=descriptor), flight(rows)])))
    status = (pathlib.Path("/proc") / str(small.process.pid) / "status").read_text()
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 1 << 20


def test_limits(small):
    channel = small.channel()
    stub = sessions.SessionServiceStub(channel)
    stub.Open(session.OpenRequest(session_id="limits"))
    values = lambda count: events.Events(values=events.Values(values=[1.0] * count))
    embed = V1["embedding"][1].EmbeddingServiceStub(channel).Embed
    ahead = V1["forecast"][1].ForecastServiceStub(channel).Forecast
    series = lambda count: forecast.SeriesBatch(series=[forecast.Series(values=events.Values(values=VALUES))] * count)
    options = forecast.ForecastOptions
    many = [embedding.Sequence(events=values(1))] * 11
    for call, code, reason in [
        (lambda: stub.Append(append(1, [1.0] * 20_000, "limits")), Code.RESOURCE_EXHAUSTED, ""),
        (lambda: stub.Append(append(1, [1.0] * 5001, "limits")), Code.RESOURCE_EXHAUSTED, "limits.request_events"),
        (lambda: embed(embedding.EmbedRequest(sequences=many)), Code.RESOURCE_EXHAUSTED, "limits.request_sequences"),
        (lambda: ahead(forecast.ForecastRequest(series=series(1), options=options(horizon=101))), Code.RESOURCE_EXHAUSTED, "limits.horizon"),
        (lambda: ahead(forecast.ForecastRequest(series=series(1), options=options())), Code.INVALID_ARGUMENT, "horizon"),
        (lambda: ahead(forecast.ForecastRequest(series=series(1), options=options(horizon=1, levels=[0.5, 0.1]))), Code.INVALID_ARGUMENT, "levels"),
        (lambda: embed(embedding.EmbedRequest(sequences=many[:1], layer=99)), Code.INVALID_ARGUMENT, "layer 99"),
        (lambda: embed(embedding.EmbedRequest(sequences=many[:1], model="nobody")), Code.NOT_FOUND, "nobody"),
        (lambda: stub.Append(append(0, [1.0], "limits")), Code.INVALID_ARGUMENT, "first append has number 1"),
        (lambda: stub.Append(append(1, [1.0], "limits", durability=2)), Code.FAILED_PRECONDITION, "--data-dir"),
        (lambda: stub.Append(append(1, [1.0], "limits", pooling=1)), Code.INVALID_ARGUMENT, "options.layers"),
        (lambda: stub.Open(session.OpenRequest(session_id="limits")), Code.ALREADY_EXISTS, "limits"),
        (lambda: stub.Open(session.OpenRequest(session_id="a b")), Code.INVALID_ARGUMENT, "session_id"),
        (lambda: stub.Open(session.OpenRequest(ttl_s=1 << 40)), Code.INVALID_ARGUMENT, "ttl_s"),
    ]:
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert error.value.code() == code and reason in error.value.details(), (error.value.details(), reason)
    bases = session.AppendRequest(session_id="limits", sequence_number=1, events=events.Events(bases="ACGT"))
    with pytest.raises(grpc.RpcError, match="takes values of a series, not bases"):
        stub.Append(bases)
    # None of these moved it.
    assert stub.Append(append(1, [1.0], "limits")).position == 1


def test_a_call_whose_client_has_gone(small):
    stub = sessions.SessionServiceStub(small.channel())
    stub.Open(session.OpenRequest(session_id="gone"))
    for number in range(1, 30):
        future = stub.Append.future(append(number, VALUES, "gone"))
        future.cancel()
        # It was taken in as a whole, or not at all: sent again, it is there once.
        assert stub.Append(append(number, VALUES, "gone")).position == number * len(VALUES)
    with pytest.raises(grpc.RpcError) as error:
        stub.Append(append(30, VALUES * 10, "gone"), timeout=1e-5)
    assert error.value.code() == Code.DEADLINE_EXCEEDED
