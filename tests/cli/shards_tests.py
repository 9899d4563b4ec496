"""ecq inspect --tp: which numbers of ranks get equal shares, and what stands in the way."""
import json

import cli_util
from cli_util import CliTest, MODEL


def zeros(*shape):
    size = 4
    for n in shape:
        size *= n
    return list(shape), bytes(size)


class ShardsTest(CliTest):
    def shards(self, path, ranks):
        done = self.run_raw("inspect", path, "--tp", str(ranks), "--json")
        self.assertIn(done.returncode, (0, 1))
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if report["even"] else 1)
        return report, {m["type"]: m for m in report["matrices"]}

    def test_stories(self):
        # 8 heads, 4 KV heads, 172 inner units, 512 tokens
        for source in (MODEL, self.quantize("m.ecq")):
            for ranks, even in ((1, True), (2, True), (4, True), (3, False), (8, False), (1024, False)):
                report, types = self.shards(source, ranks)
                self.assertEqual(report["even"], even, ranks)
                self.assertEqual(report["even_ranks"], [1, 2, 4])
            _, types = self.shards(source, 4)
            self.assertEqual({t: (m["cut"], m["per_rank"]) for t, m in types.items()},
                             {"q_proj": ("rows", 16), "k_proj": ("rows", 8), "v_proj": ("rows", 8),
                              "o_proj": ("columns", 16), "gate_proj": ("rows", 43), "up_proj": ("rows", 43),
                              "down_proj": ("columns", 43), "embedding": ("rows", 128)})
            _, types = self.shards(source, 8)
            self.assertIn("4 KV heads do not divide by 8", types["k_proj"]["obstacle"])
            self.assertIn("172 inner units", types["down_proj"]["obstacle"])
            self.assertEqual(types["q_proj"]["obstacle"], "")

    def test_what_must_be_recoded(self):
        _, types = self.shards(self.quantize("m.ecq"), 4)
        self.assertIn("codestream runs over all columns", types["o_proj"]["recode"])
        self.assertIn("inside a tile", types["q_proj"]["recode"])
        _, types = self.shards(MODEL, 4)
        self.assertEqual({m["recode"] for m in types.values()}, {""})

    def test_groups_of_scales_are_not_cut(self):
        coded = self.quantize("m.ecq", "--grid", "q4_0", "--codec", "raw")
        report, types = self.shards(coded, 2)
        self.assertEqual(types["o_proj"]["obstacle"], "")
        self.assertIn("a share of 86 columns cuts a group of 32", types["down_proj"]["obstacle"])
        self.assertEqual(report["even_ranks"], [1])

    def test_rotated_blocks_are_not_cut(self):
        report, types = self.shards(self.quantize("m.ecq", "--codec", "window", "--bpw", "4"), 2)
        self.assertIn("a share of 32 columns cuts a block of 64", types["o_proj"]["obstacle"])
        self.assertIn("a share of 86 columns cuts a block of 4", types["down_proj"]["obstacle"])
        self.assertEqual(types["q_proj"]["obstacle"], "")
        self.assertEqual(report["even_ranks"], [1])

    def test_tiles_on_the_borders(self):
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256,
                  "intermediate_size": 2048, "num_hidden_layers": 1, "num_attention_heads": 8,
                  "num_key_value_heads": 8, "vocab_size": 1024, "max_position_embeddings": 64,
                  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu"}
        layer = "model.layers.0."
        tensors = {"model.embed_tokens.weight": zeros(1024, 256), "lm_head.weight": zeros(1024, 256),
                   "model.norm.weight": zeros(256), layer + "input_layernorm.weight": zeros(256),
                   layer + "post_attention_layernorm.weight": zeros(256),
                   layer + "mlp.gate_proj.weight": zeros(2048, 256), layer + "mlp.up_proj.weight": zeros(2048, 256),
                   layer + "mlp.down_proj.weight": zeros(256, 2048)}
        for name in "qkvo":
            tensors[f"{layer}self_attn.{name}_proj.weight"] = zeros(256, 256)
        source = cli_util.write_huggingface(self.path("m"), config, tensors)
        coded = self.quantize("m.ecq", "--grid", "row4", "--codec", "raw", source=source)
        report, types = self.shards(coded, 4)
        self.assertEqual(report["even_ranks"], [1, 2, 4, 8])
        # tiles of 32 * 8 rows of 256 columns; whole groups of 32 columns
        self.assertEqual({t: bool(m["recode"]) for t, m in types.items()},
                         {"q_proj": True, "k_proj": True, "v_proj": True, "o_proj": False, "gate_proj": False,
                          "up_proj": False, "down_proj": False, "embedding": False, "head": False})
        text = self.ecq("inspect", coded, "--tp", "8")
        self.assertIn("over 8 ranks: even; equal shares for 1, 2, 4, 8 ranks", text)

    def test_fused_matrices_are_cut_part_by_part(self):
        config = {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_size": 64,
                  "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
                  "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64,
                  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu",
                  "original_max_position_embeddings": 64, "pad_token_id": 0}
        layer = "model.layers.0."
        tensors = {"model.embed_tokens.weight": zeros(100, 64), "lm_head.weight": zeros(100, 64),
                   "model.norm.weight": zeros(64), layer + "input_layernorm.weight": zeros(64),
                   layer + "post_attention_layernorm.weight": zeros(64),
                   layer + "self_attn.qkv_proj.weight": zeros(128, 64),
                   layer + "self_attn.o_proj.weight": zeros(64, 64),
                   layer + "mlp.gate_up_proj.weight": zeros(192, 64), layer + "mlp.down_proj.weight": zeros(64, 96)}
        source = cli_util.write_huggingface(self.path("m"), config, tensors)
        report, types = self.shards(source, 4)
        self.assertEqual(report["even_ranks"], [1, 2])
        self.assertIn("2 KV heads", types["qkv_proj"]["obstacle"])
        self.assertEqual(types["gate_up_proj"]["per_rank"], 48)

    def test_text_and_exit_status(self):
        done = self.run_raw("inspect", MODEL, "--tp", "3")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"uneven: 8 heads do not divide by 3", done.stdout)
        self.assertRegex(done.stderr.decode(),
                         r"\Aecq: .*does not shard evenly over 3 ranks: 8 heads .*at most 4 ranks work\n\Z")
        self.assertIn("over 2 ranks: even", self.ecq("inspect", MODEL, "--tp", "2"))

    def test_refusals(self):
        for ranks in ("0", "-1", "x", "1025", "2.5"):
            self.assert_fails(2, ["--tp"], "inspect", MODEL, "--tp", ranks)
        config, tensors = cli_util.stories_tensors()
        del tensors["model.layers.3.mlp.up_proj.weight"]
        folder = cli_util.write_huggingface(self.path("missing"), config, tensors)
        self.assert_fails(1, ["layers.3.mlp.up_proj"], "inspect", folder, "--tp", "2")
        bert = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 32}
        folder = cli_util.write_huggingface(self.path("bert"), bert, {"embeddings.word_embeddings.weight": zeros(4, 32)})
        self.assert_fails(1, ["BertModel"], "inspect", folder, "--tp", "2")
