"""Makes the goldens: tiny checkpoints with random weights, and what the published implementations make of them.

    python make.py MAMBA_SSM_SOURCE [CASE ...]

MAMBA_SSM_SOURCE is the unpacked source package of mamba-ssm. Formats A and D run its own modules on the CPU, with its CUDA
and Triton kernels replaced by the reference functions that stand beside them in the package (selective_scan_ref,
ssd_selective_scan, layer_norm_ref, rms_norm_ref). Formats B and C run transformers.

Each case is a folder as its publisher would write it, and a golden.safetensors: tokens [t], and hidden_states
[layers + 1, t, d]: 0 is the embedding, i the residual stream after i layers, and the last one is after the final norm.
"""
import json, shutil, sys, types
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
LENGTH = 20


def scatter(model, seed):
    """Moves every parameter a little, so that none stays at a 0 or a 1 that hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            scale = 1.0 if "embedding" in name else 0.2
            parameter += scale * torch.randn(parameter.shape, generator=generator)


def tokens_for(vocab, seed):
    return torch.randint(0, vocab, (1, LENGTH), generator=torch.Generator().manual_seed(seed))


def write_golden(folder, tokens, hidden_states):
    hidden_states = torch.cat([h.detach().float() for h in hidden_states]).contiguous()
    assert hidden_states.isfinite().all()
    save_file({"tokens": tokens[0].contiguous(), "hidden_states": hidden_states}, folder / "golden.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder.name:28} {size / 1000:6.1f} kB, last rms {hidden_states[-1].square().mean().sqrt():.3f}")


# Formats A and D: state-spaces/mamba


def import_mamba_ssm(source):
    """The package's models, with reference functions for kernels."""
    sys.path.insert(0, str(source))
    sys.modules["selective_scan_cuda"] = types.ModuleType("selective_scan_cuda")
    package = types.ModuleType("mamba_ssm")  # its __init__ imports Mamba-3, which needs more kernels
    package.__path__ = [str(Path(source) / "mamba_ssm")]
    sys.modules["mamba_ssm"] = package
    import mamba_ssm.models.mixer_seq_simple as models
    import mamba_ssm.modules.block as block
    import mamba_ssm.modules.mamba2 as mamba2
    import mamba_ssm.modules.mamba_simple as mamba1
    import mamba_ssm.ops.selective_scan_interface as scan
    import mamba_ssm.ops.triton.layer_norm as norms
    import mamba_ssm.ops.triton.layernorm_gated as gated
    import mamba_ssm.ops.triton.ssd_combined as ssd

    def layer_norm_fn(x, weight, bias, residual=None, eps=1e-6, prenorm=False, residual_in_fp32=False, is_rms_norm=False):
        reference = norms.rms_norm_ref if is_rms_norm else norms.layer_norm_ref
        return reference(x, weight, bias, residual=residual, eps=eps, prenorm=prenorm)

    def rms_norm_fn(x, weight, bias, residual=None, eps=1e-6, prenorm=False, **_):
        return norms.rms_norm_ref(x, weight, bias, residual=residual, eps=eps, prenorm=prenorm)

    def mamba_chunk_scan_combined(x, dt, A, B, C, chunk_size, D=None, z=None, dt_bias=None, dt_softplus=False,
                                  dt_limit=(0.0, float("inf")), **_):
        return ssd.ssd_selective_scan(x, dt, A, B, C, D=D, z=z, dt_bias=dt_bias, dt_softplus=dt_softplus, dt_limit=dt_limit)

    models.layer_norm_fn = block.layer_norm_fn = layer_norm_fn
    norms.rms_norm_fn = rms_norm_fn
    gated.rmsnorm_fn = gated.rms_norm_ref
    scan.selective_scan_fn = mamba1.selective_scan_fn = scan.selective_scan_ref
    mamba2.mamba_chunk_scan_combined = mamba_chunk_scan_combined
    return models


def mamba_ssm(models, name, seed, **config):
    from mamba_ssm.models.config_mamba import MambaConfig

    torch.manual_seed(seed)
    ssm_cfg = config.pop("ssm_cfg", {})
    file_config = MambaConfig(ssm_cfg=ssm_cfg, **config)
    # Mamba-2's fused path is one kernel; the other path runs the module's own code around the scan.
    run_cfg = dict(ssm_cfg, use_mem_eff_path=False) if ssm_cfg.get("layer") == "Mamba2" else ssm_cfg
    model = models.MambaLMHeadModel(MambaConfig(ssm_cfg=run_cfg, **config)).eval()
    scatter(model, seed)
    model.config = file_config
    folder = HERE / name
    model.save_pretrained(folder)

    stream = []
    keep = lambda _module, _inputs, output: stream.append(output[0] + output[1])
    for layer in model.backbone.layers[:-1]:
        layer.register_forward_hook(keep)
    tokens = tokens_for(config["vocab_size"], seed)
    with torch.no_grad():
        last = model.backbone(tokens)
        write_golden(folder, tokens, [model.backbone.embedding(tokens), *stream, last])


# Formats B and C: transformers


def transformers(name, seed, kind, edit=None, dtype=torch.float32, shard="1GB", **config):
    import transformers as t

    torch.manual_seed(seed)
    config = getattr(t, f"{kind}Config")(**config)
    model = getattr(t, f"{kind}ForCausalLM")(config).eval()
    scatter(model, seed)
    model.tie_weights()
    folder = HERE / name
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | (edit or {}), indent=1))

    tokens = tokens_for(config.vocab_size, seed)
    with torch.no_grad():
        embedded = model.float().backbone.embeddings(tokens)
        output = model.backbone(tokens, output_hidden_states=True, use_cache=False)
    # These models' own list leaves out the embedding, and has the last layer both before and after the final norm.
    assert len(output.hidden_states) == config.num_hidden_layers + 1
    write_golden(folder, tokens, [embedded, *output.hidden_states[:-2], output.last_hidden_state])


MAMBA_SSM_CASES = {
    "a-mamba1": dict(d_model=16, n_layer=3, vocab_size=21),
    "a-mamba1-odd": dict(
        d_model=20, n_layer=2, vocab_size=20, pad_vocab_size_multiple=4, rms_norm=False, tie_embeddings=False,
        fused_add_norm=False,
        ssm_cfg=dict(layer="Mamba1", d_state=8, d_conv=3, expand=1, dt_rank=3, bias=True, conv_bias=False)),
    "a-mamba1-mlp": dict(d_model=16, n_layer=1, vocab_size=16, d_intermediate=100),
    "d-mamba2": dict(d_model=32, n_layer=2, vocab_size=21, pad_vocab_size_multiple=16,
                     ssm_cfg=dict(layer="Mamba2", d_state=32)),
    "d-mamba2-norm-first": dict(
        d_model=16, n_layer=2, vocab_size=20, rms_norm=False,
        ssm_cfg=dict(layer="Mamba2", d_state=8, d_conv=3, headdim=8, ngroups=2, D_has_hdim=True, norm_before_gate=True)),
    "d-mamba2-no-norm": dict(
        d_model=16, n_layer=2, vocab_size=20, tie_embeddings=False,
        ssm_cfg=dict(layer="Mamba2", d_state=8, expand=1, headdim=2, ngroups=8, rmsnorm=False, bias=True, conv_bias=False,
                     dt_limit=(0.01, 0.3))),
}
LEGACY = dict(d_model=9, d_inner=160, n_layer=1, ssm_cfg={"d_state": 4}, rms_norm=False, pad_vocab_size_multiple=64)
TRANSFORMERS_CASES = {
    "b-mamba": dict(kind="Mamba", hidden_size=16, num_hidden_layers=3, vocab_size=20, edit=LEGACY),
    "b-mamba-odd": dict(
        kind="Mamba", hidden_size=20, num_hidden_layers=2, vocab_size=20, state_size=32, conv_kernel=3, expand=1, time_step_rank=5,
        use_bias=True, use_conv_bias=False, tie_word_embeddings=False, layer_norm_epsilon=1e-3, shard="6KB"),
    "b-mamba-bf16": dict(
        kind="Mamba", hidden_size=16, num_hidden_layers=2, vocab_size=20, state_size=8, dtype=torch.bfloat16),
    "b-falcon-mamba": dict(kind="FalconMamba", hidden_size=16, num_hidden_layers=2, vocab_size=20, state_size=8, use_bias=True,
                           edit=dict(expand=16)),
    "c-mamba2": dict(
        kind="Mamba2", hidden_size=16, num_hidden_layers=3, vocab_size=20, num_heads=8, head_dim=4, state_size=16, n_groups=1,
        chunk_size=8, tie_word_embeddings=True, edit=dict(norm_before_gate=True, expand=2.0)),
    "c-mamba2-groups": dict(
        kind="Mamba2", hidden_size=16, num_hidden_layers=2, vocab_size=20, num_heads=8, head_dim=2, state_size=8, n_groups=8,
        conv_kernel=3, expand=1, chunk_size=16, use_bias=True, use_conv_bias=False, time_step_limit=(0.01, 0.3)),
}


def main(source, *only):
    models = None
    for seed, (name, arguments) in enumerate((TRANSFORMERS_CASES | MAMBA_SSM_CASES).items()):
        if only and name not in only:
            continue
        shutil.rmtree(HERE / name, ignore_errors=True)
        if name in TRANSFORMERS_CASES:
            assert "mamba_ssm" not in sys.modules, "transformers would run its kernels"
            transformers(name, seed, **arguments)
        else:
            models = models or import_mamba_ssm(source)
            mamba_ssm(models, name, seed, **arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
