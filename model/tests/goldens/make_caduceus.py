"""Makes the goldens of format F: tiny Caduceus models with random weights, and what the published implementation makes of them.

    python make_caduceus.py CADUCEUS_SOURCE MAMBA_SSM_SOURCE [CASE ...]

CADUCEUS_SOURCE is a checkout of kuleshov-group/caduceus, MAMBA_SSM_SOURCE the unpacked source package of mamba-ssm. The
published modelling files run unchanged on the CPU: make.py puts the reference functions of mamba-ssm in the place of its
kernels.

As in make.py, hidden_states is [layers + 1, t, width]: 0 is the embedding, i the residual stream after i blocks as the blocks
hand it on (the width is twice d where both strands are read), and the last one is after the final norm.
"""
import json, shutil, sys, types
from pathlib import Path

import make
import torch

MAMBA_SSM_NORMS = "mamba_ssm.ops.triton.layer_norm"
BASES = {7: 10, 8: 9, 9: 8, 10: 7}
PLANT_BASES = {3: 6, 4: 5, 5: 4, 6: 3}


def import_caduceus(caduceus, mamba_ssm):
    """The published package, on reference functions."""
    make.import_mamba_ssm(mamba_ssm)
    package = types.ModuleType("caduceus")  # its __init__ imports the tokenizer too
    package.__path__ = [str(Path(caduceus) / "caduceus")]
    sys.modules["caduceus"] = package
    import caduceus.configuration_caduceus as configuration
    import caduceus.modeling_caduceus as modeling
    import caduceus.modeling_rcps as rcps
    import mamba_ssm.modules.block as block

    norms = sys.modules[MAMBA_SSM_NORMS]

    def rms_norm_fn(x, weight, bias, residual=None, eps=1e-6, prenorm=False, residual_in_fp32=False):
        return norms.rms_norm_ref(x, weight, bias, residual=residual, eps=eps, prenorm=prenorm)

    for module in (modeling, rcps):
        module.rms_norm_fn, module.layer_norm_fn = rms_norm_fn, block.layer_norm_fn
    # The norm's module runs a kernel in its own forward; blocks that do not fuse call that.
    norms.RMSNorm.forward = lambda self, x: rms_norm_fn(x, self.weight, self.bias, eps=self.eps)
    return configuration, modeling


def make_case(package, name, seed, headless=False, edit=None, bases=BASES, **config):
    configuration, modeling = package
    torch.manual_seed(seed)
    if config.get("rcps"):
        config["complement_map"] = {i: bases.get(i, i) for i in range(config["vocab_size"])}
    model = modeling.CaduceusForMaskedLM(configuration.CaduceusConfig(**config)).eval()
    make.scatter(model, seed)
    model.tie_weights()
    folder = make.HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    (model.caduceus if headless else model).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | (edit or {}), indent=1))

    stream = []
    for layer in model.caduceus.backbone.layers[:-1]:
        layer.register_forward_hook(lambda _module, _inputs, output: stream.append(output[0] + output[1]))
    tokens = make.tokens_for(config["vocab_size"], seed)
    with torch.no_grad():
        last = model.caduceus(tokens).last_hidden_state
        embedded = model.caduceus.backbone.embeddings(tokens)
    make.write_golden(folder, tokens, [embedded, *stream, last])


SMALL = dict(d_model=12, n_layer=3, vocab_size=12, residual_in_fp32=False)
ODD = dict(
    d_model=12, n_layer=2, rms_norm=False, fused_add_norm=False, residual_in_fp32=True, norm_epsilon=1e-3,
    bidirectional_strategy="ew_multiply", bidirectional_weight_tie=False,
    ssm_cfg=dict(d_state=8, d_conv=3, expand=1, dt_rank=3, bias=True, conv_bias=False))
CASES = {
    "f-caduceus-ph": dict(SMALL, n_layer=2),
    "f-caduceus-ph-odd": dict(ODD, vocab_size=12, edit=dict(bidirectional="true,")),
    "f-caduceus-ps": dict(SMALL, rcps=True),
    "f-caduceus-ps-forward": dict(SMALL, n_layer=1, rcps=True, rms_norm=False, bidirectional=False),
    "f-caduceus-ps-odd": dict(ODD, vocab_size=8, rcps=True, bases=PLANT_BASES, headless=True),
}


def main(caduceus, mamba_ssm, *only):
    package = import_caduceus(caduceus, mamba_ssm)
    for seed, (name, arguments) in enumerate(CASES.items(), start=100):
        if not only or name in only:
            make_case(package, name, seed, **arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
