"""Batch jobs on an S3-compatible server: what is read and written there is what a folder holds."""

import json, os, subprocess

import boto3, pyarrow.parquet as pq, pytest
from moto.server import ThreadedMotoServer

from conftest import BINARY

SERIES = "".join(f"{s},{t},{(t * 7 + len(s)) % 11}\n" for s in ("a", "bb") for t in range(200))


@pytest.fixture(scope="module")
def s3():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def run(folder, endpoint, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("UNSPOOL_", "AWS_"))}
    environment |= {"AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    environment |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    words = [BINARY, "run", "--quiet", "--what", "forecasts", "--horizon", "3", *arguments]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_a_job_from_a_bucket_into_a_bucket(s3, tmp_path):
    client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    client.create_bucket(Bucket="lake")
    for day in range(2):
        rows = SERIES.splitlines(keepends=True)
        part = "id,time,value\n" + "".join(row for row in rows if int(row.split(",")[1]) // 100 == day)
        (tmp_path / "here" / f"day={day}").mkdir(parents=True)
        (tmp_path / "here" / f"day={day}" / "x.csv").write_text(part)
        client.put_object(Bucket="lake", Key=f"in/day={day}/x.csv", Body=part.encode())
    local = run(tmp_path, s3, "--input", "here", "--output", "local")
    assert (local.returncode, local.stderr) == (0, "")
    done = run(tmp_path, s3, "--input", "s3://lake/in/**/*.csv", "--output", "s3://lake/out")
    assert (done.returncode, done.stderr) == (0, "")

    names = [entry["Key"] for entry in client.list_objects_v2(Bucket="lake", Prefix="out/")["Contents"]]
    manifest = json.loads(client.get_object(Bucket="lake", Key="out/_manifest.json")["Body"].read())
    assert manifest["complete"] and manifest["series"] == 2
    parts = [part["name"] for part in manifest["parts"]]
    assert parts and all(f"out/{name}" in names for name in parts)
    for name in parts:
        (tmp_path / name).write_bytes(client.get_object(Bucket="lake", Key=f"out/{name}")["Body"].read())
        assert pq.read_table(tmp_path / name).equals(pq.read_table(tmp_path / "local" / name))

    # Another machine, with an empty disk, finds nothing new, then reads the new file alone.
    (tmp_path / "other").mkdir()
    again = run(tmp_path / "other", s3, "--input", "s3://lake/in/**/*.csv", "--output", "s3://lake/out")
    assert (again.returncode, again.stderr) == (0, "")
    client.put_object(Bucket="lake", Key="in/day=2/x.csv", Body=b"id,time,value\na,200,1\nccc,0,2\n")
    assert run(tmp_path / "other", s3, "--input", "s3://lake/in/**/*.csv", "--output", "s3://lake/out").returncode == 0
    manifest = json.loads(client.get_object(Bucket="lake", Key="out/_manifest.json")["Body"].read())
    assert (manifest["run"], manifest["series"], len(manifest["parts"])) == (2, 3, len(parts) + 1)


def test_a_bucket_that_is_not_there(s3, tmp_path):
    done = run(tmp_path, s3, "--input", "s3://nowhere/in", "--output", "out")
    assert done.returncode == 1 and "s3://nowhere/in" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
