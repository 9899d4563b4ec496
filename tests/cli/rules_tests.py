"""ecq quantize --tensor, --preset and --dry-run: the total is met, single matrices differ, sizes are exact."""
import os

import cli_util
from cli_util import CliTest, MODEL, TOKENS

TOLERANCE = 0.005
EMBEDDING = "model.embed_tokens.weight"
PRESETS = {"small": 3.6, "fast": 4.0, "medium": 4.0, "balanced": 4.5, "quality": 5.0}


class RulesTest(CliTest):
    def report(self, *args):
        return self.ecq_json("quantize", MODEL, "-o", self.path("m.ecq"), "--force", *args)

    def rates(self, report, part):
        return [m["bits_per_weight"] for m in report["matrices"] if part in m["name"]]

    def assert_tells_the_size(self, report, *args):
        """A dry run says what the file on disk has, to the byte."""
        self.assertEqual(report["file_bytes"], os.path.getsize(self.path("m.ecq")))
        dry = self.ecq_json("quantize", MODEL, "--dry-run", *args)
        self.assertEqual(dry["file_bytes"], report["file_bytes"])
        self.assertEqual(dry["matrices"], report["matrices"])
        self.assertEqual(dry["bits_per_weight"], report["bits_per_weight"])

    def test_own_rates_are_taken_and_the_total_is_met(self):
        for rules, parts in (({"down_proj": 6}, []), ({"embed": 2.5, "layers.0": 7}, []),
                             ({"q_proj|k_proj": 5.5}, ["q_proj", "k_proj"])):
            flags = [f for regex, rate in rules.items() for f in ("--tensor", f"{regex}=bpw:{rate}")]
            report = self.report("--bpw", "4.5", *flags)
            self.assertAlmostEqual(report["bits_per_weight"], 4.5, delta=TOLERANCE * 4.5)
            for regex, rate in rules.items():
                for part in parts or [regex]:
                    rates = self.rates(report, part)
                    self.assertTrue(rates)
                    for got in rates:
                        self.assertAlmostEqual(got, rate, delta=0.03 * rate)
            self.assert_tells_the_size(report, "--bpw", "4.5", *flags)

    def test_fixed_bytes_leave_the_rest_to_the_others(self):
        for rule in ("keep", "grid:q4_0,codec:raw", "grid:mlx4-g64", "grid:row4,codec:rans"):
            for regex in ("embed", "layers.4.mlp", "wk|k_proj"):
                for target in (["--bpw", "5.5"], ["--size", "230KB"]):
                    if rule == "keep" and regex == "embed":
                        target = ["--bpw", "7"] if target[0] == "--bpw" else ["--size", "260KB"]
                    flags = ["--tensor", f"{regex}={rule}", *target]
                    with self.subTest(flags=flags):
                        report = self.report(*flags)
                        if target[0] == "--bpw":
                            self.assertAlmostEqual(report["bits_per_weight"], float(target[1]),
                                                   delta=TOLERANCE * float(target[1]))
                        else:
                            most = float(target[1][:-2]) * 1000
                            self.assertLessEqual(report["file_bytes"], most)
                            self.assertGreaterEqual(report["file_bytes"], (1 - TOLERANCE) * most)
                        self.assert_tells_the_size(report, *flags)

    def test_kept_matrices_are_exact_and_run(self):
        report = self.report("--size", "330KB", "--tensor", r"layers\.0\.=keep", "--tensor", "embed=keep",
                             "--tensor", "embed=bpw:4")
        kept = [m for m in report["matrices"] if m["codec"] == "F32"]
        self.assertEqual(len(kept), 7)
        for m in report["matrices"]:
            self.assertEqual(m["relative_error"] == 0, "layers.0." in m["name"], m["name"])
            if m in kept:
                self.assertEqual(m["bits_per_weight"], 32)
        coded = self.path("m.ecq")
        _, tensors = cli_util.read_safetensors(coded)
        _, source = cli_util.stories_tensors()
        name = "model.layers.0.self_attn.o_proj.weight"
        self.assertEqual(tensors[name], ("F32", source[name][0], source[name][1]))
        self.ecq("verify", coded, "--against", MODEL)
        # They are listed, counted, run, and quantized again.
        shown = self.ecq_json("inspect", coded)
        self.assertIn(name, [t["name"] for t in shown["tensors"]])
        self.assertNotIn(name, [m["name"] for m in shown["matrices"]])
        self.assertAlmostEqual(shown["bits_per_weight"], report["bits_per_weight"], delta=1e-6)
        perplexity = self.ecq_json("eval", coded, "--tokens", TOKENS, "--documents", "4", "--ctx", "256")["perplexity"]
        plain = self.ecq_json("eval", MODEL, "--tokens", TOKENS, "--documents", "4", "--ctx", "256")["perplexity"]
        self.assertLess(perplexity, 1.3 * plain)
        self.quantize("again.ecq", "--bpw", "4", source=coded)
        self.ecq("verify", self.path("again.ecq"), "--against", coded)

    def test_a_changed_kept_matrix_is_noticed(self):
        coded = self.quantize("m.ecq", "--bpw", "7", "--tensor", r"layers\.0\.=keep")
        config, tensors = cli_util.stories_tensors()
        name = "model.layers.0.self_attn.o_proj.weight"
        shape, data = tensors[name]
        tensors[name] = (shape, data[:-4] + b"\0\0\0\0")
        other = cli_util.write_huggingface(self.path("other"), config, tensors)
        self.assert_fails(1, [name, "expected none"], "verify", coded, "--against", other)

    def test_kept_matrix_of_another_shape_is_refused(self):
        coded = self.quantize("m.ecq", "--size", "300KB", "--tensor", "embed=keep")
        self.ecq("unpack", coded, "-o", self.path("dir"))
        config = self.folder / "dir/config.json"
        config.write_text(config.read_text().replace('"vocab_size": 512', '"vocab_size": 511'))
        self.ecq("pack", self.path("dir"), "-o", self.path("other.ecq"))
        self.assert_fails(1, ["other.ecq", f"matrix {EMBEDDING} is [512, 64], config.json calls for [511, 64]"],
                          "eval", self.path("other.ecq"), "--tokens", TOKENS)

    def test_half_sized_sources_are_kept_in_half_the_bytes(self):
        config, tensors = cli_util.stories_tensors()
        narrow = {n: (s, b"".join(d[i + 2:i + 4] for i in range(0, len(d), 4)), "BF16") for n, (s, d) in tensors.items()}
        source = cli_util.write_huggingface(self.path("bf16"), config, narrow)
        coded = self.quantize("m.ecq", "--bpw", "7", "--tensor", "o_proj=keep", source=source)
        name = "model.layers.0.self_attn.o_proj.weight"
        _, kept = cli_util.read_safetensors(coded)
        self.assertEqual(kept[name], ("BF16", *narrow[name][:2]))

    def test_codec_rules(self):
        report = self.report("--grid", "q4_0", "--codec", "raw", "--tensor", "up_proj=codec:auto",
                             "--tensor", "o_proj=codec:rans", "--tensor", "q_proj=bpw:3,codec:rans")
        codecs = {m["name"].split(".")[-2]: (m["codec"], m["bits_per_weight"]) for m in report["matrices"]}
        self.assertEqual(codecs["down_proj"][0], "raw")
        self.assertEqual(codecs["up_proj"][0], "rans")
        self.assertEqual(codecs["o_proj"][0], "rans")
        self.assertAlmostEqual(codecs["q_proj"][1], 3, delta=0.05)
        grids = {m["name"]: m["grid"] for m in self.ecq_json("inspect", self.path("m.ecq"))["matrices"]}
        self.assertEqual({n: g for n, g in grids.items() if g == "ecq"}.keys(),
                         {n for n in grids if "q_proj" in n})

    def test_rules_do_not_depend_on_threads(self):
        flags = ["--bpw", "5", "--tensor", "v_proj=grid:q4_0", "--tensor", "k_proj=bpw:6"]
        first, second = (self.quantize(f"m{j}.ecq", *flags, "-j", str(j)) for j in (1, 3))
        with open(first, "rb") as a, open(second, "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_wrong_rules_exit_with_2(self):
        quantize = ["quantize", self.path("missing"), "-o", self.path("m.ecq"), "--tensor"]
        for rule, expected in (("up_proj", "REGEX=RULE"), ("(up=keep", "position 3"), ("up=bpw:9", "1 to 7"),
                               ("up=grid:foo", "'foo'"), ("up=codec:foo", "'foo'"), ("up=best", "'best'"),
                               ("up=keep,bpw:4", "keep"), ("up=grid:row4,bpw:4", "fixed width")):
            self.assert_fails(2, ["--tensor", expected], *quantize, rule)

    def test_rules_that_cannot_be_followed(self):
        quantize = ["quantize", MODEL, "-o", self.path("m.ecq")]
        self.assert_fails(1, ["'upp=keep'", "matches no matrix", EMBEDDING], *quantize, "--tensor", "upp=keep")
        self.assert_fails(1, ["'norm=keep'", "matches no matrix"], *quantize, "--tensor", "norm=keep")
        self.assert_fails(1, ["((.|.)+)+$", "simpler"], *quantize, "--tensor", "^((.|.)+)+$(?<!t)=keep")
        self.assert_fails(1, ["7.000 bits", "would need", "raise --bpw"], *quantize, "--bpw", "4.5",
                          "--tensor", "mlp=bpw:7")
        self.assert_fails(1, ["1.000 bits", "would need", "lower --bpw"], *quantize, "--tensor", "proj=bpw:1")
        self.assert_fails(1, ["settle every matrix", "5.000"], *quantize, "--bpw", "4", "--tensor", ".=bpw:5")
        self.assert_fails(1, ["--size 150.0 KB", "settle every matrix", "drop --size"], *quantize, "--size", "150KB",
                          "--tensor", ".=bpw:5")
        self.assert_fails(1, ["grid:ecq", "add bpw:RATE"], *quantize, "--grid", "q4_0", "--tensor", "up=grid:ecq")
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertAlmostEqual(self.report("--tensor", ".=bpw:5")["bits_per_weight"], 5, delta=0.025)

    def test_presets(self):
        listed = self.ecq("quantize", "--list-presets")
        for name, bpw in PRESETS.items():
            self.assertRegex(listed, rf"(?m)^{name} +--bpw {bpw} ")
            report = self.report("--preset", name)
            codecs = {matrix["codec"] for matrix in report["matrices"]}
            if name == "fast":  # the tables of the window code weigh more than so small a model
                self.assertEqual(codecs, {"window"})
            else:
                self.assertAlmostEqual(report["bits_per_weight"], bpw, delta=TOLERANCE * bpw)
                self.assertNotIn("window", codecs)
            self.assert_tells_the_size(report, "--preset", name)
        report = self.report("--preset", "fast", "--codec", "rans")
        self.assertEqual({matrix["codec"] for matrix in report["matrices"]}, {"rans"})
        self.assertIn("{" + ",".join(PRESETS) + "}", self.ecq("quantize", "--help"))

    def test_explicit_options_count_instead_of_a_preset(self):
        report = self.report("--preset", "small", "--bpw", "5.5")
        self.assertAlmostEqual(report["bits_per_weight"], 5.5, delta=TOLERANCE * 5.5)
        report = self.report("--preset", "small", "--size", "200KB")
        self.assertAlmostEqual(report["file_bytes"], 200e3, delta=TOLERANCE * 200e3)
        report = self.report("--preset", "quality", "--tensor", "embed=bpw:3")
        self.assertAlmostEqual(report["bits_per_weight"], 5, delta=TOLERANCE * 5)
        self.assertAlmostEqual(self.rates(report, "embed")[0], 3, delta=0.05)

    def test_wrong_presets(self):
        quantize = ["quantize", MODEL, "-o", self.path("m.ecq")]
        self.assert_fails(2, ["--preset", "tiny", *PRESETS], *quantize, "--preset", "tiny")
        self.assert_fails(2, ["q4_0", "--preset"], *quantize, "--preset", "small", "--grid", "q4_0")
