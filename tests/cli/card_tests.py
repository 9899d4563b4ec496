"""Model cards: front matter, numbers that are those of the file, and cards of others left alone."""
import hashlib
import os
import pathlib
import re

import cli_util
from cli_util import CliTest, MODEL, PROMPT


def front_matter(card):
    """{key: value or list} of the simple YAML that a card starts with."""
    text = re.match(r"\A---\n(.*?)\n---\n", card, re.S).group(1)
    values = {}
    for line in text.split("\n"):
        if line.startswith("- "):
            values[key].append(line[2:].strip('"'))
            continue
        key, _, value = line.partition(": ")
        key = key.rstrip(":")
        values[key] = value if value else []
    return values


class CardTest(CliTest):
    def make(self, *args, source=MODEL, name="m.ecq"):
        self.ecq("quantize", source, "-o", self.path(name), "--card", self.path("README.md"), *args)
        return pathlib.Path(self.path("README.md")).read_text(encoding="utf-8")

    def test_card_says_what_the_run_measured(self):
        card = self.make("--bpw", "4", "--tensor", "o_proj=grid:q4_0")
        report = self.ecq_json("quantize", MODEL, "--dry-run", "--bpw", "4", "--tensor", "o_proj=grid:q4_0")
        self.assertEqual(front_matter(card), {"library_name": "ecq", "pipeline_tag": "text-generation",
                                              "tags": ["ecq", "quantized", "llama"]})
        coded = pathlib.Path(self.path("m.ecq")).read_bytes()
        self.assertIn(f"| `m.ecq` | {len(coded)} | `{hashlib.sha256(coded).hexdigest()}` |", card)
        source = pathlib.Path(MODEL).read_bytes()
        self.assertIn(f"| `stories260K.bin` | {len(source)} | `{hashlib.sha256(source).hexdigest()}` |", card)
        self.assertIn(f"    ecq quantize {MODEL} -o {self.path('m.ecq')} --card {self.path('README.md')} --bpw 4 "
                      "--tensor o_proj=grid:q4_0\n", card)
        version = self.ecq("--version").split("\n", 1)[0]
        self.assertIn(f"`{version}`", card)
        rows = dict(re.findall(r"^\| `(\w+)` \| (\d+ \| \d+ \| [\d.]+ \| `.*` \| `.*` \| [\d.]+) \|$", card, re.M))
        for part in ("up_proj", "o_proj", "embed"):
            matrices = [m for m in report["matrices"] if part in m["name"]]
            weights = sum(m["shape"][0] * m["shape"][1] for m in matrices)
            rate = 8 * sum(m["bytes"] for m in matrices) / weights
            error = sum(m["relative_error"] for m in matrices) / len(matrices)
            grid = "q4_0" if part == "o_proj" else "ecq"
            row = rows["embedding" if part == "embed" else part]
            codecs = " + ".join(dict.fromkeys(m["codec"] for m in matrices))
            self.assertEqual(row, f"{len(matrices)} | {weights} | {rate:.3f} | `{grid}` | `{codecs}` | {error:.4f}")
        self.assertIn("    ecq run m.ecq -p ", card)
        self.assertNotIn("ecq chat", card)  # there is no template
        self.assertIn("The license is not known", card)
        for command in re.findall(r"^    ecq (?:run|verify) .*$", card, re.M):
            words = [w.strip('"') for w in re.findall(r'"[^"]*"|\S+', command)][1:]
            self.ecq(*words, cwd=self.folder)

    def test_dry_run_tells_the_size_of_a_file_with_a_card(self):
        self.make("--size", "170KB")
        dry = self.ecq_json("quantize", MODEL, "--dry-run", "--size", "170KB")
        self.assertEqual(dry["file_bytes"], os.path.getsize(self.path("m.ecq")))

    def test_license_and_repository_come_from_the_source(self):
        config, tensors = cli_util.stories_tensors()
        cache = self.folder / "models--some-org--tiny.1"
        cache.mkdir()
        source = cli_util.write_huggingface(cache / "snapshot", config, tensors, cli_util.byte_level_tokenizer())
        readme = pathlib.Path(source) / "README.md"
        for text, license_name in (("---\nlanguage: en\nlicense: mit\n---\n# x\n", "mit"),
                                   ("---\nlicense: 'apache-2.0'\r\n---\n", "apache-2.0"),
                                   ("license: mit\n", None), ("---\nx: y\n---\nlicense: mit\n", None),
                                   ("---\nlicense: \"a\\nb: c\"\n---\n", None), ("---\nlicense:", None), ("", None)):
            readme.write_text(text)
            values = front_matter(self.make("--force", source=source))
            self.assertEqual(values.get("license"), license_name, text)
            self.assertEqual(values["base_model"], "some-org/tiny.1")
            self.assertEqual(values["base_model_relation"], "quantized")

    def test_chat_is_named_where_there_is_a_template(self):
        config, tensors = cli_util.stories_tensors()
        source = cli_util.write_huggingface(self.path("hf"), config, tensors, cli_util.byte_level_tokenizer())
        (pathlib.Path(source) / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
        self.assertIn("    ecq chat m.ecq\n", self.make(source=source))

    def test_foreign_names_stay_in_their_place(self):
        config, tensors = cli_util.stories_tensors()
        evil = {"x.`|\n# <b>y.weight": tensors["model.layers.0.self_attn.q_proj.weight"], **tensors}
        source = cli_util.write_huggingface(self.path("hf"), {**config, "model_type": "llama"}, evil)
        card = self.make(source=source)
        self.assertIn("| `'/?# <b>y` | 1 |", card)

    def test_own_cards_are_replaced_and_others_never(self):
        first = self.make("--bpw", "4")
        second = self.make("--bpw", "5", "--force")
        self.assertNotEqual(first, second)
        readme = pathlib.Path(self.path("README.md"))
        for text in ("# mine\n", "", second + "More.\n", second.replace("Limits", "Limit"),
                     second.replace("tags:", "license: mit\ntags:"), second.replace("<!--", "<!-")):
            readme.write_text(text, encoding="utf-8")
            os.remove(self.path("m.ecq"))
            self.assert_fails(1, ["README.md", "not a card"], "quantize", MODEL, "-o", self.path("m.ecq"), "--force",
                              "--card", str(readme))
            self.assertEqual(readme.read_text(encoding="utf-8"), text)
            self.assertFalse(os.path.exists(self.path("m.ecq")))  # refused before the work
            self.quantize("m.ecq")

    def test_wrong_uses(self):
        out = self.path("m.ecq")
        self.assert_fails(2, ["--card", "--dry-run"], "quantize", MODEL, "--dry-run", "--card", self.path("c.md"))
        self.assert_fails(2, ["--card", "-o"], "quantize", MODEL, "-o", out, "--card", out)
        self.assert_fails(1, [str(self.folder)], "quantize", MODEL, "-o", out, "--card", str(self.folder))
        self.assert_fails(1, ["nowhere"], "quantize", MODEL, "-o", out, "--card", self.path("nowhere/c.md"))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_unpacked_directories_have_one(self):
        coded = self.quantize("m.ecq", "--bpw", "5")
        said = self.ecq("unpack", coded, "-o", self.path("dir"))
        self.assertIn("model card in", said)
        readme = self.folder / "dir/README.md"
        card = readme.read_text(encoding="utf-8")
        self.assertIn(f"    ecq unpack {coded} -o {self.path('dir')}\n", card)
        self.assertIn(f"`{hashlib.sha256(pathlib.Path(coded).read_bytes()).hexdigest()}`", card)
        self.assertNotIn("| relative error", card)  # the file does not hold them
        self.assertNotIn("calibration", card)
        self.assertIn("model.safetensors -p", card)
        self.assertTrue(self.ecq("run", "model.safetensors", "-p", PROMPT, "-n", "2", cwd=self.folder / "dir"))
        # Unpacked again over it: an unchanged card is made anew, a changed one stays.
        self.ecq("unpack", coded, "-o", self.path("dir"), "--force")
        readme.write_text(card + "mine\n", encoding="utf-8")
        said = self.ecq("unpack", coded, "-o", self.path("dir"), "--force")
        self.assertIn("stays as it is", said)
        self.assertTrue(readme.read_text(encoding="utf-8").endswith("mine\n"))
        # It does not go back into the file.
        self.ecq("pack", self.path("dir"), "-o", self.path("again.ecq"))
        self.assertEqual(pathlib.Path(self.path("again.ecq")).read_bytes(), pathlib.Path(coded).read_bytes())
