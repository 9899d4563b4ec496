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

MODELS = {
    "mistral": {
        **LLAMA_LIKE,
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "sliding_window": 7,
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
