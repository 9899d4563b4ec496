"""ecq analyze: known values of the embedded model, charts, sources it takes and refuses."""
import json
import pathlib
import random
import struct
import xml.etree.ElementTree

from cli_util import GRIDS, MODEL, CliTest, write_safetensors


def by_name(description):
    return {grid["grid"]: grid for grid in description["grids"]}


class AnalyzeTest(CliTest):

    def write_model(self, name, config, tensors):
        folder = self.folder / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        write_safetensors(folder / "model.safetensors", tensors)
        return str(folder)

    def test_known_values_of_stories260k(self):
        """Measured independently (numpy): entropy in bits, signal to quantization noise in dB."""
        result = self.ecq_json("analyze", MODEL)
        self.assertEqual((result["total"]["matrices"], result["total"]["weights"]), (36, 259328))
        self.assertAlmostEqual(result["total"]["excess_kurtosis"], 1.09, delta=0.006)
        self.assertAlmostEqual(result["total"]["max_over_sd"], 5.2, delta=0.06)
        total = by_name(result["total"])
        self.assertEqual(list(total), GRIDS[1:])
        for grid, entropy, snr, digits in [("tensor-absmax4", 2.67, 14.6, 0.006),
                                           ("tensor-minmax4", 2.67, 14.6, 0.006),
                                           ("mlx4-g64", 3.712, 20.8, 0.0006),
                                           ("q4_0", 3.757, 21.3, 0.0006)]:
            self.assertAlmostEqual(total[grid]["entropy_bits"], entropy, delta=digits, msg=grid)
            self.assertAlmostEqual(total[grid]["snr_db"], snr, delta=0.06, msg=grid)
        types = {entry["type"]: entry for entry in result["types"]}
        self.assertEqual(set(types), {"embedding", "q_proj", "k_proj", "v_proj", "o_proj",
                                      "gate_proj", "up_proj", "down_proj"})
        self.assertAlmostEqual(by_name(types["q_proj"])["tensor-absmax4"]["entropy_bits"], 2.14,
                               delta=0.006)
        self.assertAlmostEqual(types["q_proj"]["excess_kurtosis"], 4.53, delta=0.006)

    def test_rates_are_those_of_real_files(self):
        """`coded_bits` is what quantize makes of the grid, `ecq_bits` what ECQ takes for that error, both in the
        smallest code."""
        total = by_name(self.ecq_json("analyze", MODEL)["total"])
        for grid in ("tensor-minmax4", "q4_0"):
            real = self.ecq_json("quantize", MODEL, "--grid", grid, "--codec", "rans", "--dry-run")
            self.assertAlmostEqual(total[grid]["coded_bits"], real["bits_per_weight"], delta=0.02)
        rate = f"{total['q4_0']['ecq_bits']:.3f}"
        real = self.ecq_json("quantize", MODEL, "--bpw", rate, "--codec", "rans", "--dry-run")
        error = sum(m["relative_error"] ** 2 * m["shape"][0] * m["shape"][1] for m in real["matrices"])
        signal_to_noise = 10 ** (total["q4_0"]["snr_db"] / 10)
        self.assertAlmostEqual(error / 259328 * signal_to_noise, 1, delta=0.05)

    def test_text_names_types_and_grids(self):
        text = self.ecq("analyze", MODEL)
        for word in ["q_proj", "embedding", "whole file", "all", *GRIDS[1:]]:
            self.assertIn(word, text)

    def test_charts_are_xml(self):
        charts = self.folder / "new" / "charts"
        self.ecq("analyze", MODEL, "--plot", str(charts))
        self.ecq("analyze", MODEL, "--plot", str(charts))  # replaces them
        self.assertEqual({p.name for p in charts.iterdir()},
                         {"weights.svg", "integers.svg", "rate-distortion.svg"})
        for path in charts.iterdir():
            self.assertEqual(xml.etree.ElementTree.parse(path).getroot().tag,
                             "{http://www.w3.org/2000/svg}svg")

    def test_synthetic_sources(self):
        entropies = {}
        for kind in ("gaussian", "laplace", "student5"):
            result = self.ecq_json("analyze", "--synthetic", kind, "--weights", "200K", "-j", "1")
            self.assertEqual(result["total"]["weights"], 200000 // 4096 * 4096)
            entropies[kind] = by_name(result["total"])
        self.assertAlmostEqual(entropies["gaussian"]["mlx4-g64"]["entropy_bits"], 3.724, delta=0.01)
        order = [entropies[k]["tensor-minmax4"]["entropy_bits"]
                 for k in ("gaussian", "laplace", "student5")]
        self.assertEqual(order, sorted(order, reverse=True))
        self.assertTrue(all(g["bound_bits"] >= 0 for g in entropies["student5"].values()))

    def test_needs_no_decoder_config(self):
        rng = random.Random(1)
        values = struct.pack("<4096f", *(rng.gauss(0, 1) for _ in range(4096)))
        model = self.write_model("bert", {"architectures": ["BertModel"], "model_type": "bert"}, {
            "encoder.layer.0.output.dense.weight": ([64, 64], values),
            "encoder.layer.0.output.dense.bias": ([64], bytes(256)),
        })
        result = self.ecq_json("analyze", model)
        self.assertEqual([t["type"] for t in result["types"]], ["output.dense"])
        self.assertGreaterEqual(result["other_bytes"], 256)

    def test_refusals(self):
        nan = self.write_model("nan", {}, {"a.weight": ([2, 2], struct.pack("<4f", 1, 2, float("nan"), 4))})
        self.assert_fails(1, ["a.weight", "not a number"], "analyze", nan)
        empty = self.write_model("empty", {}, {"a.bias": ([2], bytes(8))})
        self.assert_fails(1, [empty, "no weight matrix"], "analyze", empty)
        self.assert_fails(1, ["no such file"], "analyze", self.path("missing"))
        occupied = pathlib.Path(self.path("file"))
        occupied.write_text("")
        self.assert_fails(1, [str(occupied)], "analyze", MODEL, "--plot", str(occupied))

    def test_wrong_usage(self):
        for words, args in [(["SRC or --synthetic"], []),
                            (["--synthetic"], [MODEL, "--synthetic", "gaussian"]),
                            (["cauchy"], ["--synthetic", "cauchy"]),
                            (["4096"], ["--synthetic", "gaussian", "--weights", "100"]),
                            (["4096"], ["--synthetic", "gaussian", "--weights", "1TB"]),
                            (["--synthetic"], [MODEL, "--weights", "1M"])]:
            self.assert_fails(2, words, "analyze", *args)
