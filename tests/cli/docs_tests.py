"""Manual page and completions say what --help says."""
import re
import shutil
import subprocess

from cli_util import CliTest

SHELLS = ["bash", "zsh", "fish"]


class DocsTest(CliTest):
    def setUp(self):
        super().setUp()
        help_text = self.ecq("--help")
        commands = re.search(r"Subcommands:\n((?:  .*\n)+)", help_text).group(1)
        self.commands = re.findall(r"^  (\w+)", commands, re.M)
        self.assertIn("quantize", self.commands)
        self.flags = {"": self.flags_in(help_text)}
        for command in self.commands:
            self.flags[command] = self.flags_in(self.ecq(command, "--help"))

    @staticmethod
    def flags_in(help_text):
        """The flags that a --help lists: {"-o", "--output", ...}"""
        lines = re.findall(r"^  (-\S+)", help_text, re.M)
        return {flag for line in lines for flag in line.split(",")}

    def test_man_page_has_every_option_under_its_command(self):
        page = self.ecq("man").replace("\\-", "-")
        root, _, rest = page.partition(".SH COMMANDS\n")
        sections = {"": root}
        for section in re.split(r"^\.SS ", rest, flags=re.M)[1:]:
            sections[re.match(r"\\fBecq (\w+)", section).group(1)] = section
        self.assertEqual(sorted(sections), sorted(self.flags))
        for command, flags in self.flags.items():
            self.assertIn("--help", flags)
            for flag in flags:
                self.assertIn(f"\\fB{flag}\\fR", sections[command], command)
        for part in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES"]:
            self.assertRegex(page, rf"(?m)^\.SH {part}$")

    def test_man_page_is_sound_troff(self):
        if shutil.which("groff") is None:
            self.skipTest("groff is not installed")
        done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8"], input=self.ecq("man"), text=True,
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_hidden_command_is_not_listed(self):
        self.assertNotIn("man", self.commands)
        self.assertNotIn("ecq man", self.ecq("man").replace("\\-", "-"))

    def test_completions_have_every_option(self):
        for shell in SHELLS:
            script = self.ecq("completion", shell)
            for command, flags in self.flags.items():
                self.assertIn(command, script)
                for flag in flags:
                    wanted = flag
                    if shell == "fish":
                        wanted = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                    self.assertIn(wanted, script, f"{shell}: {command}")

    def test_shells_accept_their_scripts(self):
        for shell in SHELLS:
            if shutil.which(shell) is None:
                continue
            script = self.path(f"ecq.{shell}")
            with open(script, "w", encoding="utf-8") as file:
                file.write(self.ecq("completion", shell))
            done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), shell)

    def bash_completes(self, *words):
        """What bash offers for the last of `words`."""
        script = self.ecq("completion", "bash") + "\nCOMP_WORDS=(" + " ".join(f"'{w}'" for w in words) + ")\n" \
            f"COMP_CWORD={len(words) - 1}\n_ecq\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    def test_bash_completes(self):
        self.assertEqual(self.bash_completes("ecq", ""), set(self.commands))
        self.assertEqual(self.bash_completes("ecq", "ver"), {"verify"})
        self.assertEqual(self.bash_completes("ecq", "--v"), {"--version"})
        for command, flags in self.flags.items():
            if command:
                self.assertEqual(self.bash_completes("ecq", command, "-"), flags)
        self.assertEqual(self.bash_completes("ecq", "completion", ""), set(SHELLS))
        self.assertEqual(self.bash_completes("ecq", "quantize", "a", "--bpw", ""), set())
        self.assertEqual(self.bash_completes("ecq", "quantize", "a", "--out"), {"--output"})

    def test_unknown_shell(self):
        self.assert_fails(2, ["ecq completion --help"], "completion", "tcsh")
