#!/usr/bin/env python3
"""Counts the instructions that a weight costs in every product, by running the kernels one instruction at a
time under qemu-user, which needs no machine of that architecture.

    bench/count_instructions.py build/bench/mark_kernels
    bench/count_instructions.py build-aarch64/bench/mark_kernels --sysroot build-aarch64-sysroot

qemu 7 knows AVX2 and NEON but not AVX-512; ECQ_TARGET chooses among the targets that it knows.
"""
import argparse
import re
import subprocess
import sys

MACHINES = {0x3e: "x86_64", 0xb7: "aarch64"}  # e_machine of an ELF header


def kernel_range(binary):
    """First and last address of the functions in the namespaces of vector targets: all else is not logged."""
    symbols = subprocess.run(["nm", "-C", "-S", binary], stdout=subprocess.PIPE, check=True, text=True).stdout
    found = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) [tTuwW] .*\becq::(?:avx2|avx512|neon)::", symbols, re.M)
    spans = [(int(start, 16), int(start, 16) + int(size, 16)) for start, size in found]
    return min(start for start, _ in spans), max(end for _, end in spans)


def emulator_command(binary, sysroot):
    with open(binary, "rb") as file:
        machine = int.from_bytes(file.read(20)[18:], "little")
    if machine not in MACHINES:
        sys.exit(f"count_instructions.py: {binary} is no ELF program for x86-64 or AArch64")
    command = [f"qemu-{MACHINES[machine]}-static", "-cpu", "max", "-singlestep", "-d", "exec,nochain",
               "-dfilter", "0x{:x}..0x{:x}".format(*kernel_range(binary)), "-D", "/dev/stdout"]
    return command + (["-L", sysroot] if sysroot else []) + [binary]


def count(lines):
    """Yields (code, kernel, target, instructions per weight, remark) from marks and a line per instruction."""
    running, instructions = None, 0
    for line in lines:
        if line.startswith(b"Trace "):
            instructions += 1
        elif line.startswith((b"MARK END", b"MARK WRONG")) and running:
            code, kernel, target, weights = running
            # No branch of a kernel depends on what it decodes, so the count holds all the same.
            remark = "" if line.startswith(b"MARK END") else "  (emulated with a wrong result)"
            yield code, kernel, target, instructions / int(weights), remark
            running = None
        elif line.startswith(b"MARK "):
            running, instructions = line.decode().split()[1:], 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="mark_kernels of any architecture")
    parser.add_argument("--sysroot", help="libraries of that architecture")
    args = parser.parse_args()
    command = emulator_command(args.binary, args.sysroot)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    except FileNotFoundError:
        sys.exit(f"count_instructions.py: {command[0]} is missing; install qemu-user-static")
    print("code        kernel    target  instructions per weight")
    for code, kernel, target, per_weight, remark in count(process.stdout):
        print(f"{code:11} {kernel:9} {target:7} {per_weight:6.2f}{remark}", flush=True)
    if process.wait() != 0:
        sys.exit(f"count_instructions.py: {' '.join(command)} failed")


if __name__ == "__main__":
    main()
