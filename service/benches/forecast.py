#!/usr/bin/env python3
"""`unspool forecast` over the ten benchmark sets: accuracy, and time beside the PyTorch reference, in one run.

    cargo build --release
    python3 service/benches/forecast.py PROTOTYPE DATA [--unspool target/release/unspool] [--no-reference]

PROTOTYPE holds reference.py and evalset.py (needs numpy; reference.py needs torch and safetensors); DATA holds the sets.
Each set's contexts are written as a TSF file, `unspool forecast` reads it and writes CSV, and its quantiles are scored as
evalset.py does. Times are whole processes: start, weights, reading, forecasting, writing.
"""
import argparse, csv, math, os, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser()
parser.add_argument('prototype'); parser.add_argument('data')
parser.add_argument('--unspool', default=os.path.join(os.environ.get('CARGO_TARGET_DIR', 'target'), 'release', 'unspool'))
parser.add_argument('--no-reference', action='store_true')
args = parser.parse_args()
# The weights that the reference has.
SERIES_1 = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'model', 'weights', 'series-1')
sys.path.insert(0, args.prototype)
import numpy as np
import evalset


def write(path, series, horizon):
    """The contexts as a TSF file without times: steps."""
    with open(path, 'w') as out:
        out.write('@attribute series_name string\n@missing true\n@equallength false\n@data\n')
        for i, s in enumerate(series):
            out.write(f's{i}:' + ','.join('?' if np.isnan(v) else repr(float(v)) for v in s[:-horizon]) + '\n')


def read(path, n, horizon):
    quantiles = np.full((n, horizon, 9), np.nan)
    for row in csv.DictReader(open(path)):
        quantiles[int(row['id'][1:]), int(row['step']) - 1] = [float(row[f'q{q}0']) for q in range(1, 10)]
    return quantiles


sets, ratios, ours = evalset.sets(args.data), {}, 0.0
with tempfile.TemporaryDirectory() as folder:
    print(f'{"set":16} {"series":>6} {"seconds":>8} {"MASE":>8} {"ratio":>6} {"WQL":>7} {"ratio":>6}')
    for name, (series, horizon, season) in sets.items():
        source, target = os.path.join(folder, name + '.tsf'), os.path.join(folder, name + '.csv')
        write(source, series, horizon)
        start = time.perf_counter()
        subprocess.run([args.unspool, 'forecast', source, '--model', SERIES_1, '--horizon', str(horizon), '--output', target, '--quiet'], check=True)
        seconds = time.perf_counter() - start; ours += seconds
        mase, wql = evalset.score(series, horizon, season, read(target, len(series), horizon))
        ratios[name] = mase / evalset.SN[name][0], wql / evalset.SN[name][1]
        print(f'{name:16} {len(series):6} {seconds:8.2f} {mase:8.4f} {ratios[name][0]:6.3f} {wql:7.4f} {ratios[name][1]:6.3f}', flush=True)
mean = lambda names, i: math.exp(sum(math.log(ratios[n][i]) for n in names) / len(names))
print(f'geometric means: 7 sets MASE {mean(evalset.SEVEN, 0):.3f}, WQL {mean(evalset.SEVEN, 1):.3f}; 5 sets MASE {mean(evalset.FIVE, 0):.3f}')
print(f'unspool: {ours:.1f} s, ten processes')
if not args.no_reference:
    start = time.perf_counter()
    subprocess.run([sys.executable, os.path.join(args.prototype, 'reference.py'), args.data, *sets], check=True, stdout=subprocess.DEVNULL)
    reference = time.perf_counter() - start
    print(f'reference.py: {reference:.1f} s, one process; ratio {reference / ours:.1f}')
