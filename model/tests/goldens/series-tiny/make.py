"""Makes the tiny series models beside this file, random weights and both alignments, and what the prototype's reference.py forecasts with them.

    python3 make.py PROTOTYPE_DIR          # needs torch, numpy, safetensors

Horizons of 30 are several times the head's 8 values, so that medians are fed back; quantiles of random heads cross.
"""
import json, os, subprocess, sys
import numpy as np, torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
P, O, D, DI, N, K, R, LAYERS, HORIZON = 4, 8, 16, 32, 4, 3, 2, 2, 30


def weights(alignment, seed):
    g = torch.Generator().manual_seed(seed)
    rand = lambda std, *shape: torch.randn(*shape, generator=g) * std
    w = {}
    def dense(name, n_in, n_out):
        for part, i, o in (('up', n_in, 2 * D), ('down', 2 * D, n_out), ('skip', n_in, n_out)):
            w[f'{name}.{part}.weight'], w[f'{name}.{part}.bias'] = rand(.7 * i ** -.5, o, i), rand(.1, o)
    dense('embed', 3 * P + 4, D)
    for i in range(LAYERS):
        p = f'backbone.layers.{i}.'
        w[p + 'norm.weight'] = 1 + rand(.1, D)
        p += 'mixer.'
        w[p + 'in_proj.weight'] = rand(D ** -.5, 2 * DI, D)
        w[p + 'conv1d.weight'], w[p + 'conv1d.bias'] = rand(K ** -.5, DI, 1, K), rand(.1, DI)
        w[p + 'x_proj.weight'] = rand(DI ** -.5, R + 2 * N, DI)
        w[p + 'dt_proj.weight'], w[p + 'dt_proj.bias'] = rand(R ** -.5, DI, R), rand(1., DI) - 2
        w[p + 'A_log'] = torch.log(torch.arange(1, N + 1).float()).repeat(DI, 1)
        w[p + 'D'], w[p + 'out_proj.weight'] = 1 + rand(.1, DI), rand(DI ** -.5, D, DI)
    w['backbone.norm_f.weight'] = 1 + rand(.1, D)
    dense('head', D, (O + (P if alignment == 'any' else 0)) * 9)
    w['head.skip.bias'] += torch.linspace(-1, 1, 9).repeat(w['head.skip.bias'].numel() // 9)
    return {k: v.to(torch.bfloat16) if v.ndim > 1 and 'A_log' not in k else v for k, v in w.items()}


def cases():
    g = np.random.default_rng(0)
    walk = np.cumsum(g.normal(0, 1, 61)) + 100
    gaps = np.where(g.random(50) < .4, np.nan, walk[:50])
    gaps[-6:], gaps[:2] = np.nan, walk[:2]  # the reference keeps empty patches in front, which ours leaves out
    return {'walk': walk, 'whole_patches': walk[:40], 'one_patch': walk[:4], 'one_value': walk[:1], 'three_values': walk[:3], 'gaps': gaps}


def forecast():
    import reference
    def numbers(s): return [None if np.isnan(v) else float(v) for v in s]
    golden = {k: {'series': numbers(s), 'quantiles': reference.forecast([s], HORIZON)[0].tolist()} for k, s in cases().items()}
    json.dump(golden, open(os.environ['WEIGHTS'] + '/golden.json', 'w'))


if __name__ == '__main__':
    sys.path.insert(0, sys.argv[1])
    if 'WEIGHTS' in os.environ:
        sys.exit(forecast())
    for seed, alignment in enumerate(('any', 'end')):
        out = f'{HERE}/{alignment}'
        os.makedirs(out, exist_ok=True)
        config = {'model_type': 'mamba', 'd_model': D, 'num_hidden_layers': LAYERS, 'state_size': N, 'conv_kernel': K, 'expand': 2, 'time_step_rank': R,
                  'rms_norm_eps': 1e-5, 'patch_len': P, 'horizon': O, 'quantiles': [i / 10 for i in range(1, 10)], 'features': 3 * P + 4, 'alignment': alignment,
                  'context_limit': 4096, 'beyond_horizon': 'median', 'unspool': {'name': f'tiny-{alignment}', 'front_end': 'series', 'trained': False}}
        json.dump(config, open(f'{out}/config.json', 'w'), indent=1)
        save_file(weights(alignment, seed), f'{out}/model.safetensors')
        subprocess.run([sys.executable, *sys.argv], env={**os.environ, 'WEIGHTS': out}, check=True)
