#!/usr/bin/env python3
"""Counts the SASS instructions a weight costs in the main loop of every window and 4-bit kernel.

Usage: cuobjdump -sass BENCH | sass_count.py [OUT.json]
A kernel's main loop is the backward branch around the most IDP (dp4a, dp2a) instructions. Lane
instructions are counted: a warp instruction over the weights one lane handles in a turn of the loop.
"""
import json
import re
import sys

TURNINGS = ["C no memory", "A expanded", "A partial", "A selector LDS", "A selector ALU",
            "A selector mixed", "B expanded", "B folded"]
# The pipe of Hopper that an opcode occupies; what is not named here counts as "other".
PIPES = {
    "alu": {"LOP3", "SHF", "PRMT", "SEL", "ISETP", "IADD3", "I2FP", "LEA", "FSEL", "VIADD"},
    "fma": {"IDP", "IMAD", "FFMA", "FMUL", "FADD"},
    "lds": {"LDS", "SHFL", "STS"},
    "ldg": {"LDG", "RED", "ATOMG"},
    "local": {"LDL", "STL"},
}


def functions(lines):
    """Yields (mangled name, [(address, opcode, branch target or None)])."""
    name, code = None, []
    for line in lines:
        start = re.search(r"Function : (\S+)", line)
        if start:
            if name:
                yield name, code
            name, code = start.group(1), []
            continue
        found = re.search(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)(\S*)(.*)", line)
        if found:
            target = None
            if found.group(2) == "BRA":
                targets = re.findall(r"0x([0-9a-f]+)", found.group(4))
                target = int(targets[0], 16) if targets else None
            code.append((int(found.group(1), 16), found.group(2), target))
    if name:
        yield name, code


def main_loop(code):
    best, best_dots = [], 0
    for address, opcode, target in code:
        if opcode != "BRA" or target is None or target >= address:
            continue
        body = [op for at, op, _ in code if target <= at <= address and op != "NOP"]
        dots = body.count("IDP")
        if dots > best_dots:
            best, best_dots = body, dots
    return best


def describe(name):
    """(kernel, configuration, weights of a lane in one turn of the main loop) or None."""
    window = re.search(r"WindowProductILN\w*?TurningE(\d)ELj(\d)ELj(\d)ELj(\d)ELj(\d+)ELj(\d)E", name)
    if window:
        turning, raw, steps, depth, threads, ctas = (int(v) for v in window.groups())
        config = f"{steps}:{depth}, {f'{ctas}x' if ctas > 1 else ''}{threads // 32} warps"
        return f"{TURNINGS[turning]} {2 + raw / 4:.1f}", config, 128 * steps
    turned = re.search(r"TurnedProductILj(\d)ELj(\d)ELj(\d+)ELj(\d)E", name)
    if turned:
        steps, depth, threads, ctas = (int(v) for v in turned.groups())
        config = f"{steps}:{depth}, {f'{ctas}x' if ctas > 1 else ''}{threads // 32} warps"
        return "A turned LDS 2.0", config, 64 * steps
    nibble = re.search(r"NibbleProductILj(\d)ELj(\d+)ELj(\d)E", name)
    if nibble:
        rows, threads, ctas = (int(v) for v in nibble.groups())
        return "R 4-bit g64 4.2", f"{rows} rows, {ctas * threads // 32} warps", 64 * rows
    return None


def main():
    table = []
    for name, code in functions(sys.stdin):
        described = describe(name)
        if not described:
            continue
        kernel, config, weights = described
        body = main_loop(code)
        row = {"kernel": kernel, "config": config, "instructions": len(body) / weights}
        for pipe, opcodes in PIPES.items():
            row[pipe] = sum(op in opcodes for op in body) / weights
        table.append(row)
    table.sort(key=lambda r: (r["kernel"], r["config"]))
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            json.dump(table, file, indent=1)
    for r in table:
        pipes = " ".join(f"{pipe} {r[pipe]:.3f}" for pipe in PIPES)
        print(f"{r['kernel']:22} {r['config']:18} {r['instructions']:.3f} instr/w  {pipes}")


if __name__ == "__main__":
    main()
