"""ecq quantize --mode diagonal|zsic: better at the same bytes, deterministic, cached, resumable, and clear errors."""
import os
import pathlib

from cli_util import CliTest, MODEL, TOKENS

EVAL = ["--tokens", TOKENS, "--documents", "8", "--ctx", "256"]
FEW = ["--calibration-tokens", "8192"]


class CalibrationTest(CliTest):
    def calibrated(self, name, *args, mode="zsic", bpw="3"):
        return self.quantize(name, "--mode", mode, "--bpw", bpw, *FEW, *args)

    def kl(self, path):
        return self.ecq_json("eval", path, *EVAL, "--base", MODEL)["kl"]

    def test_correlations_help_and_so_do_bits(self):
        # Matrices of 64 rows pay a quarter of a bit for the scales of their columns, so data-free is out of reach.
        for codec in ("rans", "window"):
            diagonal = self.calibrated(f"{codec}-d.ecq", "--codec", codec, mode="diagonal")
            zsic = self.calibrated(f"{codec}-z.ecq", "--codec", codec)
            richer = self.calibrated(f"{codec}-r.ecq", "--codec", codec, bpw="3.5")
            kls = [self.kl(path) for path in (diagonal, zsic, richer)]
            self.assertGreater(kls[0], 1.1 * kls[1], (codec, kls))
            self.assertGreater(kls[1], 1.15 * kls[2], (codec, kls))
            for path in (diagonal, zsic):
                self.assertLessEqual(self.ecq_json("inspect", path)["bits_per_weight"], 3.015)
                self.ecq("verify", path)

    def test_sizes_are_exact(self):
        out = self.path("m.ecq")
        dry = self.ecq_json("quantize", MODEL, "--dry-run", "--mode", "zsic", "--bpw", "3.3", *FEW)
        report = self.ecq_json("quantize", MODEL, "-o", out, "--mode", "zsic", "--bpw", "3.3", *FEW)
        self.assertEqual(dry["matrices"], report["matrices"])
        self.assertEqual(dry["file_bytes"], os.path.getsize(out))
        small = self.path("small.ecq")
        self.ecq("quantize", MODEL, "-o", small, "--mode", "zsic", "--size", "150KB", *FEW,
                 "--calibration-cache", self.path("cache"))
        self.assertLessEqual(os.path.getsize(small), 150_000)
        self.assertGreater(os.path.getsize(small), 149_000)

    def test_bytes_depend_on_neither_threads_nor_cache(self):
        cache = self.path("cache")
        for codec in ("rans", "window"):
            expected = pathlib.Path(self.calibrated(f"{codec}1.ecq", "--codec", codec, "-j", "1")).read_bytes()
            for i, more in enumerate((["-j", "3"], ["--calibration-cache", cache], ["--calibration-cache", cache])):
                again = self.calibrated(f"{codec}-{i}.ecq", "--codec", codec, *more)
                self.assertEqual(pathlib.Path(again).read_bytes(), expected, more)
        for file in pathlib.Path(cache).iterdir():
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        again = self.calibrated("damaged.ecq", "--codec", "window", "--calibration-cache", cache)
        self.assertEqual(pathlib.Path(again).read_bytes(), expected)

    def test_a_text_of_ones_own(self):
        text = pathlib.Path(self.path("text.txt"))
        text.write_text("Once upon a time, there was a little girl named Lily. She had a red ball.\n" * 400)
        own = self.quantize("own.ecq", "--calibrate", str(text), "--bpw", "3", *FEW)
        shipped = self.calibrated("shipped.ecq")
        self.assertNotEqual(pathlib.Path(own).read_bytes(), pathlib.Path(shipped).read_bytes())
        folder = pathlib.Path(self.path("texts"))
        folder.mkdir()
        (folder / "a.txt").write_text(text.read_text())
        same = self.quantize("folder.ecq", "--calibrate", str(folder), "--bpw", "3", *FEW)
        self.assertEqual(pathlib.Path(same).read_bytes(), pathlib.Path(own).read_bytes())

    def test_refusals(self):
        out = ["quantize", MODEL, "-o", self.path("m.ecq"), "--mode", "zsic"]
        text = pathlib.Path(self.path("text.txt"))
        self.assert_fails(1, ["nowhere.txt"], *out, "--calibrate", self.path("nowhere.txt"))
        text.write_bytes(b"")
        self.assert_fails(1, ["text.txt", "empty"], *out, "--calibrate", str(text))
        text.write_bytes(b"abc\xff\xfe" * 100)
        self.assert_fails(1, ["text.txt", "UTF-8", "3"], *out, "--calibrate", str(text))
        text.write_text("Too short.")
        self.assert_fails(1, ["2048", "tokens"], *out, "--calibrate", str(text))
        self.assert_fails(2, ["--mode"], *out[:-1], "best")
        self.assert_fails(2, ["data-free", "--calibrate"], *out[:-1], "data-free", "--calibrate", str(text))
        self.assert_fails(2, ["--grid", "--mode"], *out, "--grid", "q4_0")
        text.unlink()
        self.assertEqual(list(self.folder.iterdir()), [])
