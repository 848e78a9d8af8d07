"""The pages' examples in Python, as they stand there."""

import re, subprocess, sys

from conftest import ROOT


def test_the_example_in_python(server, tmp_path):
    pages = [(ROOT / "service/docs" / page).read_text() for page in ("serve.md", "batch.md")]
    example, from_ray = (found for page in pages for found in re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    compile(from_ray, "from_ray.py", "exec")  # Ray is too much to install for it
    assert "127.0.0.1:50051" in example and len(example.splitlines()) <= 12
    (tmp_path / "call.py").write_text(example.replace("127.0.0.1:50051", server.address))
    done = subprocess.run([sys.executable, "call.py"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "proto")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    forecast, embedding = done.stdout.splitlines()
    assert forecast.startswith("[0.1, 0.2") and forecast.count(",") == 8 + 12 * 9 - 1
    assert embedding.count(",") == 255
