"""What the tests of the `ecq` command share: running it, reading .ecq headers, writing Hugging Face directories."""
import json
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = str(ROOT / "data/models/stories260K/stories260K.bin")
TOKENS = str(ROOT / "data/text/tinystories-sample.tok512.u16")
PROMPT = "Once upon a time"
GREEDY = ("Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
          "One day, she saw a big, red ball. She wanted to play with it, but it was too high.")
GRIDS = ["ecq", "tensor-minmax4", "tensor-absmax4", "row4", "q4_0", "mlx4-g64", "mlx3-g64"]


class CliTest(unittest.TestCase):
    """Gives every test a folder of its own and the command as self.ecq()."""

    binary = "ecq"

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ecq-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return str(self.folder / name)

    def run_raw(self, *args, **kwargs):
        """Runs the command whatever comes of it; output as bytes."""
        return subprocess.run([self.binary, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=300, check=False, **kwargs)

    def ecq(self, *args, **kwargs):
        """Runs the command, which must succeed; returns its standard output."""
        done = self.run_raw(*args, **kwargs)
        self.assertEqual(done.returncode, 0, f"ecq {args}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def ecq_json(self, *args):
        return json.loads(self.ecq(*args, "--json"))

    def quantize(self, name, *args, source=MODEL):
        target = self.path(name)
        self.ecq("quantize", source, "-o", target, *args)
        return target

    def assert_fails(self, status, expected, *args, **kwargs):
        """The command must exit with `status` and one line on standard error that holds all of `expected`."""
        done = self.run_raw(*args, **kwargs)
        message = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, status, f"ecq {args}: {message}")
        self.assertEqual(done.stdout, b"", f"ecq {args}")
        self.assertRegex(message, r"\Aecq: [^\n]+\n\Z", f"ecq {args}")
        for text in expected:
            self.assertIn(text, message)
        return message

    def assert_no_leftovers(self, folder=None):
        names = [p.name for p in pathlib.Path(folder or self.folder).iterdir() if ".tmp" in p.name]
        self.assertEqual(names, [])


def read_safetensors(path):
    """(metadata, {name: (dtype, shape, bytes)})"""
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, info in header.items():
        begin, end = info["data_offsets"]
        tensors[name] = (info["dtype"], info["shape"], data[8 + size + begin:8 + size + end])
    return metadata, tensors


def write_safetensors(path, tensors):
    """`tensors`: {name: (shape, bytes)} of f32, or {name: (shape, bytes, dtype)}"""
    header, offset = {}, 0
    for name, (shape, data, *dtype) in tensors.items():
        header[name] = {"dtype": dtype[0] if dtype else "F32", "shape": shape,
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(data for _, data, *_ in tensors.values())
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def half_split(rows, num_heads):
    """Rotary pairs from neighbours (llama2.c) to halves of a head (Hugging Face)."""
    head = len(rows) // num_heads
    order = [*range(0, head, 2), *range(1, head, 2)]
    return [rows[h * head + i] for h in range(num_heads) for i in order]


def stories_tensors():
    """stories260K under Hugging Face names: (config, {name: (shape, bytes)})."""
    data = pathlib.Path(MODEL).read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, positions = struct.unpack_from("<7i", data)
    kv_dim = dim * kv_heads // heads
    offset = 28

    def take(*shape):
        nonlocal offset
        size = 4
        for n in shape:
            size *= n
        offset += size
        return data[offset - size:offset]

    def take_rows(rows, cols):
        return [take(cols) for _ in range(rows)]

    tensors = {"model.embed_tokens.weight": ([vocab, dim], take(vocab, dim))}
    names = [("input_layernorm", (dim,), 0), ("self_attn.q_proj", (dim, dim), heads),
             ("self_attn.k_proj", (kv_dim, dim), kv_heads), ("self_attn.v_proj", (kv_dim, dim), 0),
             ("self_attn.o_proj", (dim, dim), 0), ("post_attention_layernorm", (dim,), 0),
             ("mlp.gate_proj", (hidden, dim), 0), ("mlp.down_proj", (dim, hidden), 0),
             ("mlp.up_proj", (hidden, dim), 0)]
    for name, shape, rotary_heads in names:
        for layer in range(layers):
            values = take(*shape) if not rotary_heads else b"".join(
                half_split(take_rows(*shape), rotary_heads))
            tensors[f"model.layers.{layer}.{name}.weight"] = (list(shape), values)
    tensors["model.norm.weight"] = ([dim], take(dim))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": dim,
        "intermediate_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "vocab_size": abs(vocab), "max_position_embeddings": positions,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu",
        "bos_token_id": 1, "eos_token_id": 2,
    }
    return config, tensors


def to_f32(values):
    """Rounded to the nearest f32."""
    return struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values))


def mlx_quantized(data, shape, bits, group):
    """An f32 matrix as MLX stores it, bits 4 or 8: ((words, scales, biases) as tensors, the f32 bytes that they mean)."""
    values = struct.unpack(f"<{len(data) // 4}f", data)
    packed, scales, biases, meant = bytearray(), [], [], []
    for at in range(0, len(values), group):
        part = values[at:at + group]
        scale, bias = to_f32([(max(part) - min(part)) / (2**bits - 1), min(part)])
        levels = [min(2**bits - 1, max(0, round((v - bias) / scale))) for v in part]
        scales.append(scale)
        biases.append(bias)
        meant.extend(p + bias for p in to_f32([scale * q for q in levels]))
        packed += bytes(levels) if bits == 8 else bytes(a | b << 4 for a, b in zip(levels[::2], levels[1::2]))
    rows, columns = shape
    side = [([rows, columns // group], struct.pack(f"<{len(v)}f", *v)) for v in (scales, biases)]
    return (([rows, columns * bits // 32], bytes(packed), "U32"), *side), struct.pack(f"<{len(meant)}f", *meant)


def byte_level_tokenizer():
    """A tokenizer.json with one token for each byte and two merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    letters = {b: chr(b) for b in printable}
    letters.update({b: chr(256 + i) for i, b in enumerate(others)})
    vocab = {letters[b]: b for b in range(256)}
    vocab.update({"th": 256, "the": 257})
    return {
        "version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["t h", "th e"]},
    }


def write_huggingface(folder, config, tensors, tokenizer=None, shards=1):
    """A model directory as Hugging Face lays it out, in one or several shards."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return str(folder)
    names, weight_map = list(tensors), {}
    for s in range(shards):
        file = f"model-{s + 1:05}-of-{shards:05}.safetensors"
        part = {n: tensors[n] for n in names[s * len(names) // shards:(s + 1) * len(names) // shards]}
        write_safetensors(folder / file, part)
        weight_map.update({n: file for n in part})
    total = sum(len(data) for _, data, *_ in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return str(folder)
