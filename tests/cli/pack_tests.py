"""ecq unpack and ecq pack: the same bytes back, side files that were changed, what is refused."""
import json
import pathlib
import struct

from cli_util import CliTest, PROMPT, read_safetensors, ROOT


class PackTest(CliTest):
    def test_round_trip_is_byte_exact(self):
        for name, flags in (("a", ["--bpw", "4.5"]), ("b", ["--grid", "q4_0", "--codec", "raw"])):
            coded = self.quantize(f"{name}.ecq", *flags)
            self.ecq("unpack", coded, "-o", self.path(name))
            names = sorted(p.name for p in pathlib.Path(self.path(name)).iterdir())
            self.assertEqual(names, ["README.md", "config.json", "model.safetensors", "sentencepiece.json"])
            self.ecq("pack", self.path(name), "-o", self.path("again.ecq"), "--force")
            original = pathlib.Path(coded).read_bytes()
            self.assertEqual(pathlib.Path(self.path("again.ecq")).read_bytes(), original)
            self.assertEqual((self.folder / name / "model.safetensors").read_bytes(), original)
            text = self.ecq("run", self.path(f"{name}/model.safetensors"), "-p", PROMPT, "-n", "4")
            self.assertTrue(text.startswith(PROMPT))
        self.assert_no_leftovers()
        self.assert_no_leftovers(self.path("a"))

    def test_changed_side_files_are_packed(self):
        self.ecq("unpack", self.quantize("m.ecq"), "-o", self.path("dir"))
        folder = self.folder / "dir"
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "note": "changed"}))
        (folder / "chat_template.jinja").write_text("{{ x }}")
        (folder / "README.txt").write_text("not packed")
        self.ecq("pack", str(folder), "-o", self.path("new.ecq"))
        self.ecq("verify", self.path("new.ecq"), "--against", self.path("m.ecq"))
        self.ecq("unpack", self.path("new.ecq"), "-o", self.path("new"))
        self.assertIn("changed", (self.folder / "new/config.json").read_text())
        self.assertEqual((self.folder / "new/chat_template.jinja").read_text(), "{{ x }}")
        self.assertFalse((self.folder / "new/README.txt").exists())

    def test_dequantized_directories_run_as_the_coded_file(self):
        coded = self.quantize("m.ecq")
        self.ecq("unpack", coded, "-o", self.path("dense"), "--dequantize")
        _, tensors = read_safetensors(self.path("dense/model.safetensors"))
        self.assertEqual({dtype for dtype, _, _ in tensors.values()}, {"F32"})
        run = ("-p", PROMPT, "-n", "16", "--temp", "0")
        self.assertEqual(self.ecq("run", self.path("dense"), *run), self.ecq("run", coded, *run))
        self.assert_fails(1, ["dense"], "pack", self.path("dense"), "-o", self.path("x.ecq"))

    def test_dequantized_gpt2_has_the_layout_of_transformers(self):
        original = ROOT / "tests/vectors/architectures/gpt2"
        coded = self.path("gpt2.ecq")
        self.ecq("quantize", str(original), "-o", coded, "--bpw", "7")
        self.ecq("unpack", coded, "-o", self.path("gpt2"), "--dequantize")
        _, stored = read_safetensors(original / "model.safetensors")
        _, dense = read_safetensors(self.path("gpt2/model.safetensors"))
        self.assertEqual({n: t[1] for n, t in stored.items()}, {n: t[1] for n, t in dense.items()})
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            name = f"transformer.h.1.{name}.weight"
            words = struct.unpack(f"<{len(stored[name][2]) // 2}H", stored[name][2])
            before = struct.unpack(f"<{len(words)}f", b"".join(struct.pack("<I", w << 16) for w in words))
            after = struct.unpack(f"<{len(words)}f", dense[name][2])
            error = sum((a - b) ** 2 for a, b in zip(before, after)) / sum(a * a for a in before)
            self.assertLess(error, 0.01, name)

    def test_refusals(self):
        coded = self.quantize("m.ecq")
        folder = self.folder / "dir"
        folder.mkdir()
        (folder / "mine").write_text("x")
        self.assert_fails(1, ["dir", "--force"], "unpack", coded, "-o", str(folder))
        self.assertEqual([p.name for p in folder.iterdir()], ["mine"])
        self.ecq("unpack", coded, "-o", str(folder), "--force")
        self.assert_fails(1, ["m.ecq"], "pack", str(folder), "-o", coded)
        self.assert_fails(1, ["unpacked", "ecq pack"], "run", str(folder), "-p", "x")
        self.assert_fails(1, ["no/such"], "unpack", self.path("no/such.ecq"), "-o", self.path("d"))
        self.assert_fails(1, ["model.safetensors"], "pack", self.path("none"), "-o", self.path("x.ecq"))
        self.assert_fails(2, ["-o"], "unpack", coded)
        (folder / "config.json").unlink()
        self.assert_fails(1, ["config.json"], "pack", str(folder), "-o", self.path("x.ecq"))
        # A damaged file gets no new hashes.
        data = bytearray(pathlib.Path(coded).read_bytes())
        data[-20] ^= 1
        pathlib.Path(coded).write_bytes(data)
        self.assert_fails(1, [], "unpack", coded, "-o", self.path("damaged"))
        self.assertFalse(pathlib.Path(self.path("damaged")).exists())
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(data)
        self.assert_fails(1, [], "pack", str(folder), "-o", self.path("x.ecq"))
        self.assertFalse(pathlib.Path(self.path("x.ecq")).exists())
