"""ecq bench: the shape of its reports. Speeds are not tested."""
import csv
import io
import json

from cli_util import MODEL, CliTest


class BenchTests(CliTest):
    def bench(self, *flags):
        return self.ecq("bench", MODEL, "-p", "16", "-n", "8", "-r", "2", *flags)

    def test_json_has_each_test_for_each_thread_count(self):
        report = json.loads(self.bench("-t", "1,2", "-o", "json"))
        self.assertEqual([(t["test"], t["threads"]) for t in report["tests"]],
                         [("pp16", 1), ("tg8", 1), ("pp16", 2), ("tg8", 2)])
        for test in report["tests"]:
            rates = test["tokens_per_second"]
            self.assertTrue(0 < rates["min"] <= rates["median"] <= rates["max"])
            self.assertGreater(test["memory_bytes_per_second"], 0)
        generation = report["tests"][1]
        bytes_per_token = generation["weight_bytes_per_second"] / generation["tokens_per_second"]["median"]
        self.assertAlmostEqual(bytes_per_token, 4 * 259328, delta=1)

    def test_generation_behind_a_filled_cache(self):
        report = json.loads(self.bench("-t", "1", "-d", "100", "--kv", "q8", "-o", "json"))
        self.assertEqual([t["test"] for t in report["tests"]], ["pp16", "tg8 @ d100"])

    def test_markdown_has_llama_bench_columns(self):
        header = self.bench().splitlines()[0]
        for column in ("model", "size", "params", "backend", "threads", "test", "t/s"):
            self.assertIn(f" {column} ", header)

    def test_csv_and_kernels(self):
        rows = list(csv.DictReader(io.StringIO(self.bench("-t", "1", "--kernels", "-o", "csv"))))
        self.assertTrue(any("scalar/f32" in row["test"] for row in rows))
        self.assertTrue(all(float(row["median"]) > 0 for row in rows))
