"""Conversations with the embedded model, by templates of all kinds."""
import json
import os
import pathlib
import pty
import subprocess
import time

from cli_util import CliTest, MODEL, byte_level_tokenizer, stories_tensors, write_huggingface

TEMPLATE = ("{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[{{ m.content }}]\n{% else %}"
            "{{ m.content | trim }}{% if not loop.last %} {% endif %}{% endif %}{% endfor %}")


class ChatTest(CliTest):
    def setUp(self):
        super().setUp()
        self.template = self.path("template.jinja")
        pathlib.Path(self.template).write_text(TEMPLATE, encoding="utf-8")

    def talk(self, text, *args, model=MODEL):
        """What the command prints when `text` is piped into it."""
        done = subprocess.run([self.binary, "chat", model, *args], input=text.encode(), timeout=300, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.errors = done.stderr.decode()
        return done.stdout.decode()

    def test_one_shot_is_greedy_and_repeatable(self):
        args = ["chat", MODEL, "--template", self.template, "-p", "Once upon a time,", "-n", "12", "--activations", "f32"]
        text = self.ecq(*args)
        self.assertEqual(text, self.ecq(*args))
        self.assertIn("there was a little girl", text)
        self.assertTrue(text.endswith("\n"))
        # The same tokens as `ecq run` with that text.
        self.assertTrue(self.ecq("run", MODEL, "-p", "Once upon a time,", "-n", "12", "--activations", "f32")
                        .endswith(text))
        sampled = args + ["--temperature", "1", "--seed"]
        self.assertEqual(self.ecq(*sampled, "3"), self.ecq(*sampled, "3"))
        self.assertNotEqual(self.ecq(*sampled, "3"), self.ecq(*sampled, "4"))

    def test_dialogue_over_a_pipe(self):
        common = ["--template", self.template, "-n", "10", "--activations", "f32"]
        single = self.ecq("chat", MODEL, *common, "-p", "Once upon a time,")
        both = self.talk("Once upon a time,\n\nThen\n/exit\nnever read\n", *common, "-v")
        self.assertTrue(both.startswith(single))
        self.assertEqual(both.count("\n"), 2)
        self.assertEqual(self.errors.count("tokens/s; generated"), 2)
        # The second turn reads its own words only, not the whole conversation again.
        read = [int(line.split()[1]) for line in self.errors.splitlines()]
        self.assertLess(read[1], read[0] + 10)
        # After a reset, the first question again.
        self.assertEqual(self.talk("Once upon a time,\n/reset\nOnce upon a time,", *common), single + single)
        self.assertEqual(self.talk("/help\n", *common), "")
        self.assertIn("/reset", self.errors)

    def test_system_message(self):
        common = ["--template", self.template, "-n", "10"]
        with_option = self.talk("Once\n", *common, "--system", "Tim had a dog.")
        self.assertEqual(self.talk("/system Tim had a dog.\nOnce\n", *common), with_option)
        self.assertEqual(self.talk("/system x\n/system\nOnce\n", *common), self.talk("Once\n", *common))
        shown = self.ecq("chat", MODEL, "--template", self.template, "--system", "S", "-p", " U ", "--show-template")
        self.assertEqual(shown, "<s>[S]\nU".replace("<s>", shown[:shown.index("[")]))

    def test_chatml_and_where_templates_come_from(self):
        chatml = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        show = ["-p", "Hi", "--show-template"]
        self.assertEqual(self.ecq("chat", MODEL, "--template", "chatml", *show), chatml)
        self.assert_fails(1, ["no chat template", "--template FILE", "ecq run"], "chat", MODEL, "-p", "Hi")
        self.assert_fails(1, ["nonesuch", "chatml"], "chat", MODEL, "-p", "Hi", "--template", "nonesuch")

        config, tensors = stories_tensors()
        folder = write_huggingface(self.folder / "hf", config, tensors, byte_level_tokenizer())
        settings = pathlib.Path(folder) / "tokenizer_config.json"
        settings.write_text(json.dumps({"chat_template": [{"name": "short", "template": "S{{ messages[0].content }}"},
                                                          {"name": "default", "template": "D"}]}), encoding="utf-8")
        coded = self.quantize("m.ecq", source=folder)
        for model in (folder, coded):
            self.assertEqual(self.ecq("chat", model, *show), "D")
            self.assertEqual(self.ecq("chat", model, *show, "--template", "short"), "SHi")
        (pathlib.Path(folder) / "chat_template.jinja").write_text("J{{ messages | length }}", encoding="utf-8")
        coded = self.quantize("n.ecq", source=folder)
        for model in (folder, coded):
            self.assertEqual(self.ecq("chat", model, *show), "J1")
        self.ecq("unpack", coded, "-o", self.path("unpacked"))
        (self.folder / "unpacked" / "chat_template.jinja").write_text("K", encoding="utf-8")
        self.ecq("pack", self.path("unpacked"), "-o", self.path("k.ecq"))
        self.assertEqual(self.ecq("chat", self.path("k.ecq"), *show), "K")

    def test_templates_that_fail_say_where(self):
        for source, expected in (("a\n{% if %}", ["line 2", "expected an expression"]),
                                 ("\n\n{{ raise_exception('only tools') }}", ["line 3", "only tools"]),
                                 ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
                                  ["line 1", "too many steps"])):
            pathlib.Path(self.template).write_text(source, encoding="utf-8")
            self.assert_fails(1, expected, "chat", MODEL, "--template", self.template, "-p", "Hi")

    def test_full_context(self):
        common = ["--template", self.template, "--context", "20"]
        self.assert_fails(1, ["tokens, the context 20", "/reset", "--context"], "chat", MODEL, *common, "-p",
                          "once upon a time " * 9)
        self.talk("Once upon a time", *common)
        self.assertIn("context is full", self.errors)

    def test_wrong_arguments(self):
        self.assert_fails(2, ["--show-template needs -p"], "chat", MODEL, "--show-template")
        self.assert_fails(2, ["MODEL"], "chat")
        self.assert_fails(1, ["temperature"], "chat", MODEL, "--temperature", "-1")

    def test_interrupt_stops_the_answer_not_the_program(self):
        parent, child = pty.openpty()
        with subprocess.Popen([self.binary, "chat", MODEL, "--template", self.template, "--temp", "1"], stdin=child,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=take_terminal) as process:
            os.close(child)
            os.write(parent, b"Once upon a time\n")
            process.stdout.read(60)  # the answer has begun
            os.write(parent, b"\x03")
            time.sleep(0.3)
            os.write(parent, b"/help\n/exit\n")
            rest = process.stdout.read().decode(errors="replace")
            self.assertEqual(process.wait(timeout=60), 0)
        os.close(parent)
        self.assertIn("/system TEXT", rest)


def take_terminal():
    """Makes standard input the terminal of a session of its own, so that Ctrl-C there is a signal."""
    import fcntl
    import termios
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
