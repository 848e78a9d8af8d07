#!/usr/bin/env bash
# Installs the compiler of CUDA 13.0 from PyPI into a folder: what building with the feature `cuda` needs on a machine
# that has neither a GPU nor NVIDIA's toolkit. Needs python3 (venv) and g++; about 300 MB, ten seconds.
#
#   .ci/cuda-toolkit.sh DIR
#   source DIR/env           # CUDA_HOME
#
# No library of CUDA is needed, to link or to run: the program looks for the driver when it starts.
set -euo pipefail
dir=$(mkdir -p "${1:?usage: cuda-toolkit.sh DIR}" && cd "$1" && pwd)
[ ! -e "$dir/env" ] || exit 0 # written last: complete

python3 -m venv --clear "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 \
  nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85 nvidia-cuda-runtime==13.0.88
home=$("$dir/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia/cu13
"$home/bin/nvcc" --version | tail -1
echo "export CUDA_HOME=$home" >"$dir/env"
