"""The guide's example in Python does what it says, as it is written there."""

import re, shlex, subprocess, sys

from conftest import ROOT


def test_a_session_from_python(server, tmp_path):
    guide = (ROOT / "service/docs/guides/calls.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert "127.0.0.1:50051" in code
    (tmp_path / "live.py").write_text(code.replace("127.0.0.1:50051", server.address))
    # Its packages are the ones that are installed here, its command runs from the clone's root.
    [line] = [line for line in guide.splitlines() if line.startswith("PYTHONPATH=")]
    setting, *words = shlex.split(line)
    assert (setting, words[-1]) == ("PYTHONPATH=proto", "live.py")
    assert "pip install grpcio-tools\n" in guide
    done = subprocess.run([sys.executable, "live.py"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "proto")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *ahead = done.stdout.splitlines()
    assert re.fullmatch(r"session \S+ by series-\d+", first)
    assert [line.split(":")[0] for line in ahead[-4:]] == [f"{step} ahead" for step in range(1, 5)]
    for line in ahead[-4:]:
        low, middle, high = map(float, line.split("[")[1].strip("]").split(", "))
        assert low <= middle <= high
