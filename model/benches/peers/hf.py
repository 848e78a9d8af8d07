"""HF transformers' MambaModel on a CPU: tokens a second of prefill and of single steps, as one JSON line.

    python hf.py D LAYERS PREFILL STEPS        # random weights, vocab 256, f32, all cores, its sequential path (no CUDA kernels on a CPU)
"""
import json, statistics, sys, time
import torch, transformers
from transformers import MambaConfig, MambaModel

d, layers, prefill, steps = map(int, sys.argv[1:5])
torch.manual_seed(0)
model = MambaModel(MambaConfig(hidden_size=d, num_hidden_layers=layers, vocab_size=256, state_size=16, use_cache=True)).eval()
ids = torch.randint(0, 256, (1, prefill))


def timed(run, n):
    run()
    seconds = []
    for _ in range(n):
        start = time.perf_counter(); run(); seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


with torch.no_grad():
    seconds = timed(lambda: model(ids, use_cache=False), 2)
    cache = model(ids[:, :8], use_cache=True).cache_params
    where = torch.tensor([8])
    def step():
        try: model(ids[:, 8:9], cache_params=cache, use_cache=True, cache_position=where)      # transformers 4 and early 5
        except (TypeError, ValueError): model(ids[:, 8:9], cache_params=cache, use_cache=True)
    step_seconds = timed(step, steps)
print(json.dumps({'transformers': transformers.__version__, 'torch': torch.__version__, 'threads': torch.get_num_threads(), 'prefill': prefill / seconds, 'step': 1 / step_seconds}))
