"""ecq quantize --resume: runs that are killed, run out of disk or lose their source end with the same bytes.

Environment: ECQ_KILLS, how many kills for each way to set the rate (default 6); ECQ_RESUME_MODEL, the model that is
converted while they happen (default: the embedded one), and ECQ_RESUME_SIZE, a --size for it that takes two passes.
"""
import errno
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import time

import cli_util
from cli_util import CliTest, MODEL

KILLS = int(os.environ.get("ECQ_KILLS", "6"))
KILLED_MODEL = os.environ.get("ECQ_RESUME_MODEL", MODEL)
KILLED_SIZE = os.environ.get("ECQ_RESUME_SIZE", "156KB")
MATRICES = 36  # of the embedded model


class ResumeTest(CliTest):
    def setUp(self):
        super().setUp()
        self.output = pathlib.Path(self.path("m.ecq"))
        self.part = pathlib.Path(self.path("m.ecq.part"))
        self.command = ["quantize", MODEL, "-o", str(self.output), "--bpw", "4"]
        try:
            os.close(os.open(self.folder, os.O_TMPFILE | os.O_RDWR))
            self.unnamed = True
        except OSError:
            self.unnamed = False

    def names(self):
        """What lies in the folder; without the temporary files that a kill leaves where files need names."""
        return sorted(p.name for p in self.folder.iterdir() if self.unnamed or not p.name.endswith(".tmp"))

    def resume(self, *args):
        """Continues self.command; returns its report."""
        return json.loads(self.ecq(*self.command, "--resume", "--json", *args))

    def start(self, *args):
        return subprocess.Popen([self.binary, *self.command, *args], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def stopped(self, at_least=30_000):
        """The command, stopped while its part file has so many bytes."""
        for _ in range(100):
            process = self.start("-j", "1")
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.stderr.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            while process.poll() is None:
                try:
                    enough = os.stat(self.part).st_size >= at_least
                except FileNotFoundError:
                    enough = False
                if enough:
                    process.send_signal(signal.SIGSTOP)
                    os.waitpid(process.pid, os.WUNTRACED)
                    if self.part.exists() and not self.output.exists():
                        return process
                    break
            self.kill(process)
            for file in (self.part, self.output):
                file.unlink(missing_ok=True)
        self.fail("the command was never caught at work")

    def kill(self, process):
        process.kill()
        process.wait()

    def ended(self, process):
        """(exit status, message) of a stopped process that may go on."""
        process.send_signal(signal.SIGCONT)
        message = process.stderr.read().decode()
        return process.wait(), message

    def whole_log(self):
        """(the output, its part file as it was when the output got its name)"""
        process = self.stopped()
        link = pathlib.Path(self.path("link"))
        os.link(self.part, link)
        self.assertEqual(self.ended(process)[0], 0)
        self.assertEqual(self.names(), ["link", "m.ecq"])
        log = link.read_bytes()
        link.unlink()
        return self.output.read_bytes(), log


class KillTest(ResumeTest):
    """Kills at random moments of the time that an undisturbed run takes, one to three of them before a run may end."""

    def check(self, *rate):
        self.command = ["quantize", KILLED_MODEL, "-o", str(self.output), *rate]
        start = time.monotonic()
        self.ecq(*self.command)
        seconds = time.monotonic() - start
        expected = self.output.read_bytes()
        self.output.unlink()
        kills = with_work = taken = 0
        chance = random.Random(20260101)
        while kills < KILLS:
            for _ in range(chance.randint(1, 3)):
                delay = chance.uniform(0, seconds)
                process = self.start("--resume")
                time.sleep(delay)
                process.kill()
                process.communicate()
                kills += 1
                self.assertLessEqual(set(self.names()), {"m.ecq", "m.ecq.part"})
                with_work += self.part.exists()
                if self.output.exists():  # it has its name: then it is whole
                    self.assertEqual(self.output.read_bytes(), expected)
            if self.part.exists() or not self.output.exists():
                taken += self.resume()["resumed_matrices"]
            self.assertEqual(self.output.read_bytes(), expected, f"after {kills} kills")
            self.assertEqual(self.names(), ["m.ecq"])
            self.output.unlink()
        print(f"{kills} kills of runs of {seconds:.2f} s: {with_work} left a part file, {taken} matrices were taken over; "
              "every output equal ", end="", flush=True)

    def test_bits_per_weight(self):
        self.check("--bpw", "4")

    def test_size(self):
        self.check("--size", KILLED_SIZE)

    def test_rules(self):
        self.check("--bpw", "6", "--tensor", "k_proj=keep", "--tensor", "up_proj=grid:q4_0", "--tensor", "embed=bpw:5")


class ContinueTest(ResumeTest):
    def test_what_is_done_is_not_done_again(self):
        expected = self.output_of_undisturbed_run()
        self.kill(self.stopped())
        self.assertEqual(self.names(), ["m.ecq.part"])
        report = self.resume()
        self.assertGreaterEqual(report["resumed_matrices"], 3)
        self.assertLess(report["resumed_matrices"], MATRICES)
        self.assertEqual(self.output.read_bytes(), expected)
        self.assertEqual(self.names(), ["m.ecq"])
        whole = self.ecq_json(*self.command, "--force")
        self.assertEqual((whole["resumed_matrices"], whole["matrices"]), (0, report["matrices"]))

    def output_of_undisturbed_run(self):
        self.ecq(*self.command)
        expected = self.output.read_bytes()
        self.output.unlink()
        return expected

    def test_nothing_to_resume(self):
        self.assertEqual(self.resume()["resumed_matrices"], 0)
        self.assert_fails(1, ["m.ecq", "--force"], *self.command, "--resume")
        self.assert_fails(2, ["--resume", "--dry-run"], *self.command, "--resume", "--dry-run")

    def test_an_earlier_run_is_not_lost_by_accident(self):
        self.kill(self.stopped())
        log = self.part.read_bytes()
        self.assert_fails(1, ["m.ecq.part", "--resume", "--force"], *self.command)
        self.assert_fails(1, ["missing"], "quantize", self.path("missing"), *self.command[2:], "--force")
        self.assertEqual(self.part.read_bytes(), log)
        self.assertEqual(self.ecq_json(*self.command, "--force")["resumed_matrices"], 0)
        self.assertEqual(self.names(), ["m.ecq"])

    def test_another_conversion_is_not_mixed_in(self):
        self.kill(self.stopped())
        log = self.part.read_bytes()
        config, tensors = cli_util.stories_tensors()
        other = cli_util.write_huggingface(self.path("other"), config, tensors)
        out = ["-o", str(self.output), "--resume"]
        for args, expected in ((["--bpw", "5"], ["bpw 5", "bpw 4"]), (["--size", "150KB"], ["size 150000"]),
                               (["--bpw", "4", "--codec", "raw"], ["codec raw", "codec auto"]),
                               (["--bpw", "4", "--embedding-bpw", "5"], ["embedding-bpw 5"]),
                               (["--grid", "q4_0"], ["grid q4_0", "grid ecq"]),
                               (["--bpw", "4", "--tensor", "embed=bpw:5"], ["rule 0 ", "bpw 5"])):
            self.assert_fails(1, ["m.ecq.part", *expected, "--force"], "quantize", MODEL, *out, *args)
        self.assert_fails(1, ["m.ecq.part", "source", "model.safetensors"], "quantize", other, *out, "--bpw", "4")
        self.assertEqual(self.part.read_bytes(), log)
        shutil.rmtree(other)
        self.resume()
        self.assertEqual(self.names(), ["m.ecq"])

    def test_one_run_at_a_time(self):
        process = self.stopped()
        for args in ([], ["--resume"], ["--force"]):
            self.assert_fails(1, ["m.ecq.part", "another run"], *self.command, *args)
        self.assertEqual(self.ended(process)[0], 0)
        self.assertEqual(self.names(), ["m.ecq"])

    def test_killed_between_naming_the_output_and_removing_the_part(self):
        output, log = self.whole_log()
        self.part.write_bytes(log)
        inode = os.stat(self.output).st_ino
        self.assertEqual(self.resume()["resumed_matrices"], MATRICES)
        self.assertEqual((self.output.read_bytes(), os.stat(self.output).st_ino), (output, inode))
        self.assertEqual(self.names(), ["m.ecq"])
        # Somebody else's file is not mistaken for it, whether the log is whole or not.
        for part in (log, log[:len(log) // 2]):
            self.output.write_bytes(b"mine")
            self.part.write_bytes(part)
            self.assert_fails(1, ["m.ecq", "--force"], *self.command, "--resume")
            self.assertEqual(self.output.read_bytes(), b"mine")
            self.resume("--force")
            self.assertEqual(self.output.read_bytes(), output)
            self.assertEqual(self.names(), ["m.ecq"])

    def test_damaged_logs_are_used_up_to_the_damage(self):
        output, log = self.whole_log()
        cases = [log[:size] for size in [0, 1, 15, 16, 17, 40, *range(100, len(log), len(log) // 12)]]
        for position in range(16, len(log), len(log) // 25):
            damaged = bytearray(log)
            damaged[position] ^= 1 << position % 8
            cases.append(bytes(damaged))
        cases += [log + b"tail", log + log[16:], log[:16] + struct.pack("<QIIQ", 1 << 62, 1, 0, 0) + log[40:]]
        for i, case in enumerate(cases):
            self.output.unlink()
            self.part.write_bytes(case)
            report = self.resume()
            self.assertLessEqual(report["resumed_matrices"], MATRICES)
            self.assertEqual(self.output.read_bytes(), output, f"case {i}")
            self.assertEqual(self.names(), ["m.ecq"])

    def test_what_is_no_part_file_stays(self):
        self.part.write_bytes(b"a letter to somebody")
        for args in ([], ["--resume"], ["--force"]):
            self.assert_fails(1, ["m.ecq.part", "something else"], *self.command, *args)
        self.assertEqual(self.part.read_bytes(), b"a letter to somebody")

    def test_beside_the_target_of_a_symbolic_link(self):
        (self.folder / "real").mkdir()
        real = self.folder / "real" / "r.ecq"
        real.write_bytes(b"old")
        self.output.symlink_to(real)
        self.part = self.folder / "real" / "r.ecq.part"
        for _ in range(100):
            process = self.start("--force", "-j", "1")
            while process.poll() is None and not (self.part.exists() and os.stat(self.part).st_size > 30_000):
                pass
            process.kill()
            process.communicate()
            if self.part.exists():
                break
        self.assertEqual(real.read_bytes(), b"old")
        self.assertGreater(self.resume("--force")["resumed_matrices"], 0)
        self.assertTrue(self.output.is_symlink())
        self.ecq("verify", str(real))
        self.assertEqual(os.listdir(real.parent), ["r.ecq"])


class TroubleTest(ResumeTest):
    def check_resumed(self):
        self.assertGreater(self.resume()["resumed_matrices"], 0)
        self.assertEqual(self.names_of(self.output.parent), ["m.ecq"])
        bytes_after = self.output.read_bytes()
        self.ecq(*self.command, "--force")
        self.assertEqual(self.output.read_bytes(), bytes_after)

    def names_of(self, folder):
        return sorted(p.name for p in folder.iterdir() if p.name.startswith("m.ecq"))

    def test_files_may_not_grow(self):
        def restrict():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        self.assert_fails(1, [os.strerror(errno.EFBIG), "--resume"], *self.command, preexec_fn=restrict,
                          restore_signals=False)
        self.assertEqual(self.names(), ["m.ecq.part"])
        self.check_resumed()

    def test_full_disk(self):
        mount = self.folder / "disk"
        mount.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(mount)],
                              stderr=subprocess.PIPE, check=False) if os.geteuid() == 0 else None
        if done is None or done.returncode != 0:
            self.skipTest("SKIPPED: mounting a small tmpfs needs root and CAP_SYS_ADMIN")
        self.addCleanup(subprocess.run, ["umount", str(mount)], check=False)
        self.output = mount / "m.ecq"
        self.command[3] = str(self.output)
        for size in ("100k", "200k"):  # the log does not fit; then the output beside it
            subprocess.run(["mount", "-o", f"remount,size={size}", str(mount)], check=True)
            self.assert_fails(1, ["No space left", "free some space", "--resume"], *self.command, "--resume")
            self.assertEqual(self.names_of(mount), ["m.ecq.part"])
        subprocess.run(["mount", "-o", "remount,size=1m", str(mount)], check=True)
        self.check_resumed()

    def test_source_that_goes_away(self):
        source = pathlib.Path(self.path("source.bin"))
        shutil.copy(MODEL, source)
        shutil.copy(pathlib.Path(MODEL).parent / "tok512.bin", self.folder)
        self.command[1] = str(source)
        contents = source.read_bytes()

        def overwrite():
            with open(source, "r+b") as file:
                file.seek(len(contents) // 2)
                file.write(b"something else")
        for change, expected in ((source.unlink, "went away"), (lambda: os.truncate(source, 0), "(cut short|was changed)"),
                                 (lambda: os.truncate(source, len(contents) - 1), "was changed"),
                                 (overwrite, "was changed")):
            process = self.stopped()
            change()
            status, message = self.ended(process)
            self.assertEqual(status, 1, message)
            self.assertRegex(message, rf"\Aecq: [^\n]*source\.bin: [^\n]*{expected}[^\n]*put it back[^\n]*--resume goes on from here\n\Z")
            self.assertEqual(self.names_of(self.folder), ["m.ecq.part"])
            source.write_bytes(contents)
            self.check_resumed()
            self.output.unlink()

    def test_errors_that_come_again_leave_nothing(self):
        self.assert_fails(1, ["--size"], "quantize", MODEL, "-o", str(self.output), "--size", "40KB", "--resume")
        self.assertEqual(self.names(), [])


class OtherCommandsTest(ResumeTest):
    def test_killed_pack_and_unpack_leave_no_temporary_files(self):
        if not self.unnamed:
            self.skipTest("SKIPPED: the file system has no files without a name")
        coded = self.quantize("m.ecq")
        folder = self.path("unpacked")
        self.ecq("unpack", coded, "-o", folder)
        chance = random.Random(7)
        for args in (["unpack", coded, "-o", folder, "--force"], ["pack", folder, "-o", self.path("p.ecq"), "--force"]):
            for _ in range(KILLS):
                process = subprocess.Popen([self.binary, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(chance.uniform(0, 0.03))
                process.kill()
                process.wait()
        self.assert_no_leftovers()
        self.assert_no_leftovers(folder)
