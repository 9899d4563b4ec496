"""ecq quantize --codec window: what comes out runs, is about as good as rANS at the rate, and survives kills."""
import os
import pathlib
import random
import subprocess
import time

from cli_util import CliTest, MODEL, PROMPT, TOKENS

EVAL = ["--tokens", TOKENS, "--documents", "4", "--ctx", "256"]
WINDOW = ["--codec", "window"]


class WindowTest(CliTest):
    def test_files_hold_what_they_say(self):
        for bits in (8, 12):
            for bpw in (1.6, 3.6, 4):
                path = self.path(f"{bits}-{bpw}.ecq")
                rate = [*WINDOW, "--window", str(bits), "--bpw", str(bpw)]
                dry = self.ecq_json("quantize", MODEL, "--dry-run", *rate)
                report = self.ecq_json("quantize", MODEL, "-o", path, *rate)
                self.assertEqual(dry["file_bytes"], os.path.getsize(path))
                self.assertEqual(dry["matrices"], report["matrices"])
                self.assertLessEqual(report["bits_per_weight"], bpw * 1.005)
                inspected = self.ecq_json("inspect", path)
                self.assertEqual({(m["codec"], m["window"]) for m in inspected["matrices"]}, {("window", bits)})
                self.assertTrue(all(m["shape"][1] % m["rotation"] == 0 for m in inspected["matrices"]))
                self.assertAlmostEqual(inspected["bits_per_weight"], report["bits_per_weight"], delta=1e-6)
                self.ecq("verify", path, "--against", MODEL)

    def test_text_does_not_depend_on_threads(self):
        for bits in ("8", "12"):
            path = self.quantize(f"{bits}.ecq", *WINDOW, "--window", bits, "--bpw", "4")
            for mode in ("f32", "i8"):
                texts = [self.ecq("run", path, "-p", PROMPT, "-n", "40", "--activations", mode, "--threads", threads)
                         for threads in ("1", "3")]
                self.assertEqual(*texts)
                self.assertTrue(texts[0].startswith(PROMPT), texts[0])

    def test_perplexity_is_near_that_of_rans(self):
        for bpw in ("3.6", "4"):
            rans = self.ecq_json("eval", self.quantize(f"{bpw}.rans", "--codec", "rans", "--bpw", bpw), *EVAL)
            for bits, ratio in (("8", 1.25), ("12", 1.15)):
                window = self.quantize(f"{bpw}-{bits}.ecq", *WINDOW, "--window", bits, "--bpw", bpw)
                for mode in ("f32", "i8"):
                    coded = self.ecq_json("eval", window, *EVAL, "--activations", mode)
                    self.assertEqual(coded["tokens"], rans["tokens"])
                    self.assertLess(coded["perplexity"], ratio * rans["perplexity"], f"{bpw} bits, window {bits}")

    def test_refusals(self):
        out = ["quantize", MODEL, "-o", self.path("m.ecq"), *WINDOW]
        self.assert_fails(1, ["window", "--grid"], *out, "--grid", "q4_0")
        self.assert_fails(1, ["window", "bits per weight", "rans"], *out, "--bpw", "1.1")
        self.assert_fails(2, ["--window", "9", "8", "12"], *out, "--window", "9")
        self.assertEqual(list(self.folder.iterdir()), [])


class WindowResumeTest(CliTest):
    def run_killed(self, command, delay):
        with subprocess.Popen([self.binary, *command], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            time.sleep(delay)
            process.kill()

    def test_killed_runs_end_with_the_same_bytes(self):
        output, part = pathlib.Path(self.path("m.ecq")), pathlib.Path(self.path("m.ecq.part"))
        command = ["quantize", MODEL, "-o", str(output), *WINDOW, "--bpw", "3.6", "-j", "1"]
        start = time.monotonic()
        self.ecq(*command)
        seconds = time.monotonic() - start
        expected = output.read_bytes()
        output.unlink()
        chance, taken = random.Random(1), 0
        for _ in range(20):
            self.run_killed(command, chance.uniform(0.2, 0.9) * seconds)
            if not part.exists():
                output.unlink(missing_ok=True)
                continue
            taken += self.ecq_json(*command, "--resume")["resumed_matrices"]
            self.assertEqual(output.read_bytes(), expected)
            output.unlink()
            if taken > 0:
                break
        self.assertGreater(taken, 0)
        self.run_killed(command, 0.5 * seconds)
        if part.exists():
            other = [w if w != "3.6" else "4" for w in command]
            self.assert_fails(1, ["m.ecq.part", "bpw 4"], *other, "--resume")
            self.assert_fails(1, ["m.ecq.part", "window 8"], *command, "--window", "8", "--resume")
