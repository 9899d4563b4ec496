#!/usr/bin/env python3
"""Small random models of every architecture and their logits, by Hugging Face transformers.

    transformers_logits.py OUTPUT_DIR [NAME ...]

Writes OUTPUT_DIR/NAME/{config.json,model.safetensors,logits.json} for each name, or for all. The
configs are those of published models made small: every field that changes the computation is there,
under its published name. Weights are BF16 and wide enough that each norm, bias and rotation shows
in the logits; the logits are of a forward pass in float32 with eager attention. Needs the PyPI
packages torch and transformers. Exit status: 0 on success, 2 on wrong usage.
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

VOCAB = 96

LLAMA_LIKE = {
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCAB,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}

PHI3_LONG = {
    **LLAMA_LIKE,
    "architectures": ["Phi3ForCausalLM"],
    "model_type": "phi3",
    "attention_bias": False,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "original_max_position_embeddings": 32,
    "pad_token_id": 0,
    "partial_rotary_factor": 0.75,
    "rope_scaling": {
        "long_factor": [1.0 + 0.5 * i for i in range(12)],
        "short_factor": [1.0 + 0.02 * i for i in range(12)],
        "type": "longrope",
    },
    "sliding_window": None,
    "tie_word_embeddings": True,
}

MODELS = {
    "mistral": {
        **LLAMA_LIKE,
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "sliding_window": 7,
    },
    "qwen3": {
        **LLAMA_LIKE,
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "head_dim": 24,
        "max_window_layers": 28,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "qwen2-window": {
        **LLAMA_LIKE,
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "max_window_layers": 1,
        "sliding_window": 9,
        "use_sliding_window": True,
    },
    "llama3-rope": {
        **LLAMA_LIKE,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "mlp_bias": True,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 32,
            "rope_type": "llama3",
        },
        "rope_theta": 500.0,
    },
    "llama-linear-rope": {
        **LLAMA_LIKE,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "rope_scaling": {"factor": 4.0, "type": "linear"},
    },
    "phi3": {
        **LLAMA_LIKE,
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "attention_bias": False,
        "original_max_position_embeddings": 256,
        "pad_token_id": 0,
        "rope_scaling": None,
        "sliding_window": 11,
    },
    "phi3-longrope-short": {**PHI3_LONG, "oracle_tokens": 32},
    "phi3-longrope-long": PHI3_LONG,
    "gemma3": {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "bos_token_id": 2,
        "eos_token_id": [1, 3],
        "final_logit_softcapping": None,
        "head_dim": 16,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 40,
        "intermediate_size": 56,
        "max_position_embeddings": 512,
        "num_attention_heads": 2,
        "num_hidden_layers": 7,
        "num_key_value_heads": 1,
        "pad_token_id": 0,
        "query_pre_attn_scalar": 20,
        "rms_norm_eps": 1e-6,
        "rope_local_base_freq": 100,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "rope_theta": 1000,
        "sliding_window": 6,
        "sliding_window_pattern": 6,
        "torch_dtype": "float32",
        "vocab_size": VOCAB,
    },
    "gpt2": {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "bos_token_id": 95,
        "eos_token_id": 95,
        "layer_norm_epsilon": 1e-5,
        "n_ctx": 64,
        "n_embd": 48,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 64,
        "vocab_size": VOCAB,
    },
}


def make_config(fields):
    """The configuration object of transformers, from the fields of a config.json."""
    fields = json.loads(json.dumps(fields))
    model_type = fields.pop("model_type")
    return transformers.AutoConfig.for_model(model_type, **fields)


def randomize(model, generator):
    """Values that no block can hide: matrices of gain about 1, vectors away from 0 and 1."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                is_norm = "norm" in name or "ln_" in name
                values = (1.0 if is_norm and not name.endswith("bias") else 0.0) + 0.3 * noise
            else:
                values = noise * 1.3 / parameter.shape[-1] ** 0.5
            parameter.copy_(values.to(torch.bfloat16).float())


def write_model(directory, name, fields, seed):
    """Makes one model and stores it with its logits."""
    count = fields.get("oracle_tokens", 40)
    fields = {key: value for key, value in fields.items() if key != "oracle_tokens"}
    config = make_config(fields)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(seed)
    randomize(model, generator)
    tokens = torch.randint(3, VOCAB, (count,), generator=generator)
    with torch.no_grad():
        logits = model(tokens[None], use_cache=False).logits[0]

    target = directory / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(fields, indent=1) + "\n")
    tensors = {}
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        tensors[key] = value.to(torch.bfloat16).contiguous().clone()
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    positions = sorted({0, 1, count // 4, count // 2, count - 2, count - 1})
    vector = {
        "architecture": fields["architectures"][0],
        "oracle": f"transformers {transformers.__version__}, torch {torch.__version__}, float32",
        "tokens": tokens.tolist(),
        "positions": positions,
        "logits": [[float(f"{v:.7g}") for v in logits[p].tolist()] for p in positions],
    }
    (target / "logits.json").write_text(json.dumps(vector) + "\n")
    size = (target / "model.safetensors").stat().st_size
    print(f"{name}: {size} bytes, logits of rms {logits.pow(2).mean().sqrt():.3f}")


def main():
    if len(sys.argv) < 2 or any(name not in MODELS for name in sys.argv[2:]):
        print(__doc__, file=sys.stderr)
        print("names: " + " ".join(MODELS), file=sys.stderr)
        return 2
    for seed, (name, fields) in enumerate(MODELS.items(), 1):
        if len(sys.argv) == 2 or name in sys.argv[2:]:
            write_model(pathlib.Path(sys.argv[1]), name, fields, seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
