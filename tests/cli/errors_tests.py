"""What is refused, how it is said, and that nothing is lost by it."""
import errno
import os
import pathlib
import re
import resource
import signal
import struct
import subprocess
import sys
import unittest

import cli_util
from cli_util import CliTest, GRIDS, MODEL, TOKENS

COMMANDS = ["quantize", "run", "eval", "inspect", "verify"]


class HelpTest(CliTest):
    def test_help_shows_examples(self):
        self.assertIn("ecq run ", self.ecq("--help"))
        listed = re.search(r"Subcommands:\n((?:  .*\n)+)", self.ecq("--help")).group(1)
        commands = re.findall(r"^  (\w+)", listed, re.M)
        self.assertLess(set(COMMANDS), set(commands))
        for command in commands:
            self.assertRegex(self.ecq(command, "--help"), rf"Examples?:\n  [^\n]*ecq {command} ")
        bare = self.run_raw()
        self.assertEqual((bare.returncode, bare.stdout), (2, b""))
        self.assertIn(b"Examples:\n  ecq quantize ", bare.stderr)

    def test_version(self):
        self.assertRegex(self.ecq("--version"), r"\Aecq \d+\.\d+\.\d+\ncommit: .*\nbuild: .*\ntargets: scalar.*\nlibraries: .*\n\Z")


class UsageTest(CliTest):
    def test_wrong_usage_exits_with_2(self):
        out = ["quantize", MODEL, "-o", self.path("m.ecq")]
        cases = [
            (["frobnicate"], ["'frobnicate'", *COMMANDS]),
            (["--frob"], ["--frob", "ecq --help"]),
            (["quantize"], ["SRC", "ecq quantize --help"]),
            (["quantize", MODEL], ["-o", "--dry-run"]),
            ([*out, "--bpw", "4", "--size", "1MB"], ["--bpw", "--size"]),
            ([*out, "--frob"], ["--frob"]),
            ([*out, "surplus"], ["surplus"]),
            ([*out, "-j", "0"], ["--jobs"]),
            ([*out, "--grid", "q4_0", "--bpw", "4"], ["q4_0", "--bpw"]),
            ([*out, "--grid", "q4_0", "--size", "1MB"], ["q4_0", "--size"]),
            (["run", MODEL], ["--prompt"]),
            (["run", MODEL, "-p", "x", "-n", "0"], ["-n"]),
            (["run", MODEL, "-p", "x", "--top-k", "-1"], ["--top-k", "-1"]),
            (["run", MODEL, "-p", "x", "--seed", "x"], ["--seed"]),
            (["eval", MODEL], ["--text", "--tokens"]),
            (["eval", MODEL, "--text", "a", "--tokens", "b"], ["--text", "--tokens"]),
            (["inspect"], ["FILE"]),
            (["verify", MODEL, MODEL], ["not expected"]),
        ]
        cases += [([*out, "--size", s], [s]) for s in ("foo", "-5", "5XB", "nan", "inf", "1e300")]
        cases += [([*out, "--bpw", b], ["1 to 7", b]) for b in ("0", "-1", "nan", "inf", "8", "four")]
        for args, expected in cases:
            with self.subTest(args=args):
                self.assert_fails(2, expected, *args)
        self.assertEqual(list(self.folder.iterdir()), [])


class RefusedInputTest(CliTest):
    def every_command(self, model):
        return [["quantize", model, "-o", self.path("m.ecq")], ["run", model, "-p", "x"],
                ["eval", model, "--tokens", TOKENS], ["inspect", model], ["verify", model]]

    def test_what_is_no_model(self):
        text = self.path("text.bin")
        pathlib.Path(text).write_text("This is a text and no model at all.\n" * 50)
        os.mkdir(self.path("empty"))
        os.mkdir(self.path("dir.ecq"))
        pathlib.Path(self.path("empty.ecq")).write_bytes(b"")
        for model, expected in ((self.path("missing"), "missing"), (text, "text.bin"),
                                (self.path("empty"), "config.json"), (self.path("dir.ecq"), "dir.ecq"),
                                (self.path("empty.ecq"), "empty.ecq"), ("/dev/null", "/dev/null")):
            for args in self.every_command(model):
                with self.subTest(args=args):
                    self.assert_fails(1, [expected], *args)
        self.assert_fails(1, ["missing"], "eval", MODEL, "--tokens", self.path("missing"))
        self.assert_fails(1, ["missing"], "eval", MODEL, "--text", self.path("missing"))
        self.assert_fails(1, ["text.bin"], "eval", MODEL, "--tokens", text)
        self.assert_fails(1, ["missing"], "eval", MODEL, "--tokens", TOKENS, "--base", self.path("missing"))
        self.assertFalse(os.path.exists(self.path("m.ecq")))

    def test_unknown_choices_list_the_known_ones(self):
        quantize = ["quantize", MODEL, "-o", self.path("m.ecq")]
        self.assert_fails(1, ["'foo'", *GRIDS], *quantize, "--grid", "foo")
        self.assert_fails(1, ["'foo'", "rans", "raw"], *quantize, "--codec", "foo")
        self.assert_fails(1, ["'foo'", "f32", "i8"], "run", MODEL, "-p", "x", "--activations", "foo")
        for verb in (["run", MODEL, "-p", "x"], ["eval", MODEL, "--text", MODEL], ["bench", MODEL], ["chat", MODEL]):
            self.assert_fails(1, ["'foo'", "f16", "f32", "q8"], *verb, "--kv", "foo")
        self.assert_fails(1, ["'foo'", "full", "llama"], "eval", MODEL, "--text", MODEL, "--protocol", "foo")
        self.assert_fails(1, ["foo", "scalar", "avx2", "avx512", "neon"], "run", MODEL, "-p", "x",
                          env={**os.environ, "ECQ_TARGET": "foo"})
        for flags in (["--temp", "-1"], ["--temp", "nan"], ["--top-p", "2"]):
            self.assert_fails(1, [flags[1]], "run", MODEL, "-p", "x", *flags)

    def test_unknown_architecture_and_tokenizer(self):
        config, tensors = cli_util.stories_tensors()
        tokenizer = cli_util.byte_level_tokenizer()
        foreign = {**config, "architectures": ["FooForCausalLM"], "model_type": "foo"}
        folder = cli_util.write_huggingface(self.path("foo"), foreign, tensors, tokenizer)
        for args in self.every_command(folder)[:3]:
            self.assert_fails(1, [folder, "FooForCausalLM", "LlamaForCausalLM", "Qwen2ForCausalLM"], *args)
        tokenizer["model"]["type"] = "Unigram"
        folder = cli_util.write_huggingface(self.path("unigram"), config, tensors, tokenizer)
        self.assert_fails(1, [folder, "Unigram", "BPE"], "run", folder, "-p", "x")

    def test_names_in_a_file_do_not_steer_the_terminal(self):
        config, tensors = cli_util.stories_tensors()
        evil = {"\x1b[2Jevil\n.weight": tensors["model.embed_tokens.weight"], **tensors}
        folder = cli_util.write_huggingface(self.path("evil"), config, evil)
        self.assertNotIn("\x1b", self.ecq("inspect", folder))
        coded = self.path("evil.ecq")
        self.assertNotIn("\x1b", self.ecq("quantize", folder, "-o", coded))
        self.assertNotIn("\x1b", self.ecq("inspect", coded))
        self.assert_fails(1, ["evil"], "verify", coded, "--against", MODEL)

    def test_broken_huggingface_directories(self):
        config, tensors = cli_util.stories_tensors()
        for name, change in (("hidden_size", 65), ("num_attention_heads", 0), ("num_hidden_layers", 6),
                             ("vocab_size", 1 << 40), ("rms_norm_eps", "x"), ("hidden_size", None)):
            folder = cli_util.write_huggingface(self.path(f"{name}-{change}"), {**config, name: change}, tensors)
            for args in self.every_command(folder)[1:3]:
                self.assert_fails(1, [folder], *args)
        missing = {n: t for n, t in tensors.items() if "layers.3.mlp.up" not in n}
        folder = cli_util.write_huggingface(self.path("missing"), config, missing)
        self.assert_fails(1, ["layers.3.mlp.up_proj"], "eval", folder, "--tokens", TOKENS)
        folder = pathlib.Path(cli_util.write_huggingface(self.path("cut"), config, tensors))
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        self.assert_fails(1, ["model.safetensors"], "inspect", str(folder))


class DamagedFileTest(CliTest):
    def test_truncated_and_flipped_files(self):
        whole = pathlib.Path(self.quantize("m.ecq", "--bpw", "3")).read_bytes()
        (header,) = struct.unpack_from("<Q", whole)
        size = len(whole)
        cuts = [0, 1, 7, 8, 9, 100, header // 2, header + 7, header + 8, size // 2, size - 1]
        damaged = [whole[:cut] for cut in cuts] + [whole + b"\0"]
        positions = [*range(0, 10), *range(10, header, header // 25), *range(header, size, size // 25), size - 1]
        for i, position in enumerate(positions):
            copy = bytearray(whole)
            copy[position] ^= 1 << (i % 8)
            damaged.append(bytes(copy))
        path = self.path("damaged.ecq")
        for i, contents in enumerate(damaged):
            pathlib.Path(path).write_bytes(contents)
            for args in (["inspect", path], ["verify", path], ["run", path, "-p", "x", "-n", "3"],
                         ["eval", path, "--tokens", TOKENS, "--documents", "1", "--ctx", "16"]):
                done = self.run_raw(*args)
                self.assertIn(done.returncode, (0, 1), f"case {i}: {args}: {done.stderr}")
                if done.returncode:
                    self.assertRegex(done.stderr.decode(errors="replace"), r"\Aecq: [^\n]+\n\Z")
                if args[0] == "verify" and i < len(cuts) + 1:
                    self.assertEqual(done.returncode, 1, f"case {i}")

    def test_verify_sees_every_flip_in_the_data(self):
        whole = pathlib.Path(self.quantize("m.ecq", "--bpw", "3")).read_bytes()
        (header,) = struct.unpack_from("<Q", whole)
        path = self.path("damaged.ecq")
        for position in range(header + 8, len(whole), len(whole) // 40):
            copy = bytearray(whole)
            copy[position] ^= 0x10
            pathlib.Path(path).write_bytes(bytes(copy))
            self.assert_fails(1, ["damaged.ecq"], "verify", path)


class TargetFileTest(CliTest):
    def setUp(self):
        super().setUp()
        self.target = pathlib.Path(self.path("m.ecq"))
        self.target.write_bytes(b"old")

    def tearDown(self):
        self.assertEqual(self.target.read_bytes(), b"old")
        self.assert_no_leftovers()

    def test_existing_file_is_kept(self):
        self.assert_fails(1, ["m.ecq", "--force"], "quantize", MODEL, "-o", str(self.target))

    def test_target_that_cannot_be_one(self):
        os.mkdir(self.path("folder"))
        self.assert_fails(1, ["folder"], "quantize", MODEL, "-o", self.path("folder"), "--force")
        self.assert_fails(1, ["nowhere"], "quantize", MODEL, "-o", self.path("nowhere/m.ecq"))
        os.symlink(self.path("gone"), self.path("dangling"))
        self.assert_fails(1, ["dangling"], "quantize", MODEL, "-o", self.path("dangling"), "--force")
        self.assert_fails(1, ["/dev/null"], "quantize", MODEL, "-o", "/dev/null", "--force")

    def test_directory_without_permission(self):
        folder = self.folder / "locked"
        folder.mkdir()
        folder.chmod(0o555)
        target = str(folder / "m.ecq")
        if os.geteuid() != 0:
            self.assert_fails(1, ["locked", "Permission denied"], "quantize", MODEL, "-o", target)
            return
        # Permissions do not hold root back: be nobody.
        os.chmod(self.folder, 0o755)
        try:
            reachable = self.run_raw("inspect", MODEL, user=65534, group=65534).returncode == 0
        except PermissionError:
            reachable = False
        if not reachable:
            self.skipTest("SKIPPED: user nobody cannot run the command here")
        self.assert_fails(1, ["locked", "Permission denied"], "quantize", MODEL, "-o", target,
                          user=65534, group=65534)

    def test_full_disk(self):
        mount = self.folder / "full"
        mount.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)],
                              stderr=subprocess.PIPE, check=False) if os.geteuid() == 0 else None
        if done is None or done.returncode != 0:
            self.skipTest("SKIPPED: mounting a small tmpfs needs root and CAP_SYS_ADMIN")
        self.addCleanup(subprocess.run, ["umount", str(mount)], check=False)
        old = mount / "m.ecq"
        old.write_bytes(b"old")
        self.assert_fails(1, ["No space left", "free some space"], "quantize", MODEL, "-o", str(old), "--force")
        self.assertEqual(old.read_bytes(), b"old")
        self.assert_no_leftovers(mount)

    def test_file_size_limit(self):
        for limit in (0, 1000, 100_000, 150_000):
            def restrict(limit=limit):
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            self.assert_fails(1, [os.strerror(errno.EFBIG)], "quantize", MODEL, "-o", str(self.target),
                              "--force", preexec_fn=restrict, restore_signals=False)

    def test_nothing_is_done_before_the_refusal(self):
        self.assert_fails(1, ["--force"], "quantize", self.path("missing"), "-o", str(self.target))


class OutputTest(CliTest):
    def test_full_standard_output(self):
        coded = self.quantize("m.ecq")
        for args in (["inspect", coded], ["inspect", coded, "--json"], ["verify", coded],
                     ["run", coded, "-p", "x", "-n", "5"], ["quantize", MODEL, "--dry-run"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([self.binary, *args], stdout=full, stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, b"ecq: standard output: cannot write all of the result\n")

    def test_reader_that_leaves_early(self):
        done = subprocess.run(f"'{self.binary}' inspect '{MODEL}' | head -c 1", shell=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(len(done.stdout), 1)
        self.assertEqual(done.stderr, b"")

    def test_short_work_is_silent_without_a_terminal(self):
        done = self.run_raw("quantize", MODEL, "--dry-run")
        self.assertEqual(done.stderr, b"")

    @unittest.skipUnless(sys.platform == "linux", "SKIPPED: needs a pseudo terminal")
    def test_progress_on_a_terminal_is_one_line_and_goes_away(self):
        parent, child = os.openpty()
        done = subprocess.run([self.binary, "quantize", MODEL, "--dry-run"], stdout=subprocess.PIPE,
                              stderr=child, check=True)
        os.close(child)
        shown = b""
        try:
            while chunk := os.read(parent, 65536):
                shown += chunk
        except OSError:  # the end of a pseudo terminal
            pass
        os.close(parent)
        self.assertIn(b"100 %", shown)
        self.assertNotIn(b"\n", shown)
        self.assertTrue(shown.endswith(b"\r\033[K"), shown)
        self.assertNotIn(b"%", done.stdout)

    def test_names_that_are_no_utf8(self):
        target = os.fsencode(self.path("m")) + b"\xff.ecq"
        self.assertEqual(self.run_raw("quantize", MODEL, "-o", target, "--json").returncode, 0)
        for args in (["inspect", target], ["inspect", target, "--json"], ["verify", target]):
            self.assertEqual(self.run_raw(*args).returncode, 0)
