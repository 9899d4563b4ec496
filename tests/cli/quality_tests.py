"""The numbers that the embedded model must give, through every verb."""
import json
import os

from cli_util import CliTest, GREEDY, MODEL, PROMPT, TOKENS

EVAL = ["--tokens", TOKENS, "--documents", "60", "--ctx", "512"]
EVAL_KEYS = {"perplexity", "perplexity_stderr", "tokens", "kl", "top1", "bits_per_weight", "file_bytes"}


class QualityTest(CliTest):
    def test_greedy_text_of_the_source_is_exact(self):
        text = self.ecq("run", MODEL, "-p", PROMPT, "-n", "200", "--activations", "f32", "--kv", "f32")
        self.assertTrue(text.startswith(GREEDY), text)

    def test_greedy_text_is_the_same_on_every_target(self):
        coded = self.quantize("m.ecq", "--bpw", "4.5")
        for model in (MODEL, coded):
            texts = {}
            for target in ("scalar", "avx2", "avx512", "neon"):
                done = self.run_raw("run", model, "-p", PROMPT, "-n", "60", "--activations", "f32", "--kv", "f32",
                                    env={**os.environ, "ECQ_TARGET": target})
                if done.returncode == 0:
                    texts[target] = done.stdout
                else:
                    self.assertIn(b"not supported by this machine", done.stderr)
            self.assertIn("scalar", texts)
            self.assertEqual(len(set(texts.values())), 1, texts)

    def test_cache_of_fewer_bits_keeps_the_perplexity(self):
        exact = self.ecq_json("eval", MODEL, *EVAL)["perplexity"]
        for kv, share in (("f16", 5e-4), ("q8", 5e-3)):
            cached = self.ecq_json("eval", MODEL, *EVAL, "--kv", kv)["perplexity"]
            self.assertNotEqual(cached, exact)
            self.assertAlmostEqual(cached, exact, delta=share * exact)

    def test_perplexity_of_source_ecq_and_baselines(self):
        source = self.ecq_json("eval", MODEL, *EVAL)
        self.assertEqual(set(source) - {"kl_stderr"}, EVAL_KEYS)
        self.assertAlmostEqual(source["perplexity"], 4.200, delta=0.01)
        self.assertEqual(source["tokens"], 20657)
        self.assertEqual(source["bits_per_weight"], 32)
        self.assertEqual(source["file_bytes"], os.path.getsize(MODEL))
        self.assertIsNone(source["kl"])
        self.assertIsNone(source["top1"])

        ours = self.ecq_json("eval", self.quantize("m.ecq", "--bpw", "4.5"), *EVAL, "--base", MODEL)
        self.assertEqual(set(ours) - {"kl_stderr"}, EVAL_KEYS)
        self.assertLessEqual(ours["perplexity"], 4.60)
        self.assertLessEqual(ours["bits_per_weight"], 4.5 * 1.005)
        self.assertTrue(0 < ours["kl"] < 0.1, ours)
        self.assertTrue(0.8 < ours["top1"] < 1, ours)

        grids = {g: self.ecq_json("eval", self.quantize(g, "--grid", g), *EVAL)["perplexity"]
                 for g in ("q4_0", "mlx4-g64", "tensor-minmax4")}
        self.assertLess(ours["perplexity"], grids["q4_0"])
        self.assertLess(ours["perplexity"], grids["mlx4-g64"])
        self.assertAlmostEqual(grids["q4_0"], 4.70, delta=0.05)
        self.assertAlmostEqual(grids["mlx4-g64"], 4.89, delta=0.05)
        self.assertGreater(grids["tensor-minmax4"], 20)

    def test_eval_of_a_text_and_its_limits(self):
        text = self.path("text.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.write((GREEDY + "\n") * 20)
        full = self.ecq_json("eval", MODEL, "--text", text, "--ctx", "128")
        short = self.ecq_json("eval", MODEL, "--text", text, "--ctx", "128", "--max-tokens", "100")
        llama = self.ecq_json("eval", MODEL, "--text", text, "--ctx", "128", "--protocol", "llama")
        self.assertLess(short["tokens"], 128)
        self.assertGreater(full["tokens"], llama["tokens"])
        self.assertIn("perplexity", self.ecq("eval", MODEL, "--text", text, "--ctx", "128"))
        own = self.ecq_json("eval", MODEL, "--text", text, "--ctx", "128", "--base", MODEL)
        self.assertEqual((own["kl"], own["top1"]), (0, 1))

    def test_sampling_follows_its_seed(self):
        def sample(seed):
            return self.ecq("run", MODEL, "-p", PROMPT, "-n", "40", "--temp", "1", "--seed", str(seed))
        self.assertEqual(sample(1), sample(1))
        self.assertNotEqual(sample(1), sample(2))
        one = self.ecq("run", MODEL, "-p", PROMPT, "-n", "40", "--temp", "1", "--top-k", "1")
        self.assertEqual(one, self.ecq("run", MODEL, "-p", PROMPT, "-n", "40"))

    def test_prompts_of_all_kinds(self):
        for prompt in ("two\nlines\n", "Zoë 漢字 😀", "[a, b]", '"quoted"', "{a}", "-x foo"):
            self.assertTrue(self.ecq("run", MODEL, "-p", prompt, "-n", "4").startswith(prompt))
        done = self.run_raw("run", MODEL, "-p", b"bad \xff\xc3 bytes", "-n", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith(b"bad \xff\xc3 bytes"))
        # The begin token makes an empty prompt legal.
        self.assertTrue(self.ecq("run", MODEL, "-p", "", "-n", "20").startswith(PROMPT))
        long = "once upon a time " * 400
        self.assert_fails(1, ["the prompt has", "tokens", "512", "shorten"], "run", MODEL, "-p", long)
        self.assert_fails(1, ["raise --ctx"], "run", MODEL, "-p", PROMPT, "--ctx", "3")
        # Longer than the context: stops there.
        self.ecq("run", MODEL, "-p", PROMPT, "-n", "600")

    def test_verbose_speed_goes_to_standard_error(self):
        done = self.run_raw("run", MODEL, "-p", PROMPT, "-n", "8", "-v")
        self.assertIn(b"tokens/s", done.stderr)
        self.assertNotIn(b"tokens/s", done.stdout)

    def test_inspect_describes_every_kind(self):
        coded = self.quantize("m.ecq")
        for file in (MODEL, coded):
            description = json.loads(self.ecq("inspect", file, "--json"))
            self.assertEqual(description["file_bytes"], os.path.getsize(file))
            self.assertIn("config.json", {f["name"] for f in description["files"]})
            self.assertIn("embed_tokens", self.ecq("inspect", file))
        self.assertEqual(len(description["matrices"]), 36)
        self.assertTrue(all(m["codec"] in ("rans", "raw") for m in description["matrices"]))
        self.assertEqual(len(description["source"]["files"][0]["sha256"]), 64)
