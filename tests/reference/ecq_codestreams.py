"""Codestreams and tables of the .ecq format: sections 4 and 5 of docs/format.md.

Slow and plain, written from that page alone; section numbers in comments are its own.
"""

import struct

STATE_START = 1 << 16


class FormatError(Exception):
    """The file breaks a rule; `code` is one of section 8."""

    def __init__(self, code, what):
        super().__init__(f"{code}: {what}")
        self.code = code


def check(condition, code, what):
    if not condition:
        raise FormatError(code, what)


# Section 5: tables.


class Table:
    """Frequencies freqs[i] of the levels level_min + i; they sum to 2^prob_bits."""

    def __init__(self, prob_bits, level_min, freqs, record):
        self.prob_bits, self.level_min = prob_bits, level_min
        self.freqs, self.record = freqs, record
        self.cums = [sum(freqs[:i]) for i in range(len(freqs))]
        self.slots = [i for i, freq in enumerate(freqs) for _ in range(freq)]


class SmallSlots:  # 4.4
    """The slots of a table for rans16: slot s is rank ranks[s] of the level number owners[s]."""

    def __init__(self, table):
        check(table.prob_bits == 8, "bad table", "rans16 needs 8 bits")
        levels = [i for i, freq in enumerate(table.freqs) if freq]
        check(len(levels) <= 32 and max(table.freqs) < 256, "bad table", "limits of rans16")
        left = [table.freqs[i] for i in levels] + [0] * (32 - len(levels))
        own, other = [8] * 32, [None] * 32
        while True:
            short = [b for b in range(32) if other[b] is None and left[b] < 8]
            if not short:
                break
            b = short[0]
            giver = next(i for i in range(32) if left[i] > 8)
            own[b], other[b] = left[b], giver
            left[giver] -= 8 - own[b]
        self.owners, self.ranks = [None] * 256, [None] * 256
        for symbol, level in enumerate(levels):
            slots = [32 * place + symbol for place in range(own[symbol])]
            for b in range(32):
                if other[b] == symbol:
                    slots += [32 * place + b for place in range(own[b], 8)]
            for rank, slot in enumerate(slots):
                self.owners[slot], self.ranks[slot] = level, rank

    def slot_of(self, level, rank):
        return next(s for s in range(256) if (self.owners[s], self.ranks[s]) == (level, rank))


class WindowTable:  # 5.3
    """Entries of four levels; `code_bits` are the bits of n."""

    def __init__(self, data):
        check(len(data) >= 4, "bad table", "record cut off")
        _, self.raw_bits, self.low_step, missing = data[:4]
        self.code_bits = 8 - missing
        kind = (self.code_bits, self.raw_bits)
        kinds = [(4, 0), (6, 0), (8, 0), (8, 2), (8, 4), (8, 6), (8, 8)]
        check(kind in kinds, "bad table", "parameters out of range")
        check(self.low_step <= (254 if self.raw_bits >= 6 else 0), "bad table", "low_step")
        size = 4 * {4: 16, 6: 32, 8: 128}[self.code_bits]
        check(len(data) >= 4 + size, "bad table", "record cut off")
        levels = struct.unpack(f"{size}b", data[4 : 4 + size])
        in_range = min(levels) >= -127 and max(levels) <= 127 - self.low_step
        check(in_range, "bad table", "level out of range")
        self.entries = [levels[i : i + 4] for i in range(0, size, 4)]
        self.record = bytes(data[: 4 + size])


def gaussian_freqs(rho, prob_bits, level_min, n):  # 5.2
    w, f, s = [1 << 31], rho, (rho * rho) >> 32
    for j in range(1, 129):
        w.append((w[j - 1] * f) >> 32)
        f = (f * s) >> 32
    levels = range(level_min, level_min + n)
    total = sum(w[abs(v)] for v in levels)
    freqs = [1 + (w[abs(v)] * ((1 << prob_bits) - n)) // total for v in levels]
    missing, turn = (1 << prob_bits) - sum(freqs), 0
    while missing > 0:  # to the levels 0, -1, 1, -2, 2, ...
        v = -((turn + 1) // 2) if turn % 2 else turn // 2
        if v in levels:
            freqs[v - level_min] += 1
            missing -= 1
        turn += 1
    return freqs


def read_table(data, at):
    """The record at data[at:] and the position after it."""
    start = at
    check(at + 4 <= len(data), "bad table", "record cut off")
    if data[at] == 3:
        table = WindowTable(data[at:])
        return table, at + len(table.record)
    kind, prob_bits, level_min, n = struct.unpack_from("<BBbB", data, at)
    at, n = at + 4, n + 1
    check(8 <= prob_bits <= 14 and level_min + n - 1 <= 127, "bad table", "parameters out of range")
    if kind == 2:
        check(at + 4 <= len(data), "bad table", "record cut off")
        check(level_min <= 0 < level_min + n and n <= 1 << prob_bits, "bad table", "no level 0")
        freqs = gaussian_freqs(struct.unpack_from("<I", data, at)[0], prob_bits, level_min, n)
        at += 4
    else:
        check(kind == 1, "bad table", f"kind {kind}")
        freqs = []
        for _ in range(n):
            freq = shift = 0
            while True:  # LEB128
                check(at < len(data) and shift < 21, "bad table", "bad frequency")
                freq |= (data[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if data[at - 1] < 128:
                    break
            freqs.append(freq)
        check(sum(freqs) == 1 << prob_bits, "bad table", f"sum {sum(freqs)}")
    return Table(prob_bits, level_min, freqs, bytes(data[start:at])), at


# Section 4: codestreams. A tile is a list of rows of levels; `cut` gives its blocks.


def cut(rows, lanes):
    """The blocks of a tile of `rows` rows, as ranges of its rows."""
    return [range(r, min(r + lanes, rows)) for r in range(0, rows, lanes)]


def decode_raw(data, rows, cols, lanes, bits, level_min):  # 4.1
    levels = [[0] * cols for _ in range(rows)]
    at = 0
    for block in cut(rows, lanes):
        for group in range(0, cols, 32):
            need = 4 * bits * len(block)
            check(at + need <= len(data), "bad layout", "tile too short")
            words = struct.unpack_from(f"<{bits * len(block)}I", data, at)
            at += need
            for lane, row in enumerate(block):
                string = sum(words[k * len(block) + lane] << (32 * k) for k in range(bits))
                for i in range(min(32, cols - group)):
                    levels[row][group + i] = level_min + (string >> (i * bits) & ((1 << bits) - 1))
    return levels


def decode_rans(data, rows, cols, lanes, column_tables):  # 4.2
    levels = [[0] * cols for _ in range(rows)]
    active = min(lanes, rows)
    check(len(data) >= 4 * active, "bad layout", "tile too short")
    states = list(struct.unpack_from(f"<{active}I", data))
    words = struct.unpack(f"<{(len(data) - 4 * active) // 2}H", data[4 * active :])
    at = 0
    for block in cut(rows, lanes):
        for col in range(cols):
            table = column_tables[col]
            for lane, row in enumerate(block):
                slot = states[lane] % (1 << table.prob_bits)
                i = table.slots[slot]
                levels[row][col] = table.level_min + i
                states[lane] = (
                    table.freqs[i] * (states[lane] >> table.prob_bits) + slot - table.cums[i]
                )
            for lane in range(len(block)):
                if states[lane] < 1 << 16:
                    states[lane] = states[lane] << 16 | (words[at] if at < len(words) else 0)
                    at += 1
    check(all(state == STATE_START for state in states), "corrupt", "final state")
    rest = words[at:]
    check(at <= len(words) and (rest == () or rest == (0,)), "corrupt", "end of the tile")
    return levels


def decode_rans16(data, rows, cols, lanes, column_tables, low_bits):  # 4.4
    slots = {id(table): SmallSlots(table) for table in column_tables}
    levels = [[0] * cols for _ in range(rows)]
    active = min(lanes, rows)
    check(len(data) >= 2 * active, "bad layout", "tile too short")
    states = list(struct.unpack_from(f"<{active}H", data))
    at = 2 * active
    for block in cut(rows, lanes):
        for col in range(cols):
            table, small = column_tables[col], slots[id(column_tables[col])]
            plane_bytes = -(-len(block) // 8)
            planes = []
            for _ in range(low_bits):
                planes.append(int.from_bytes(data[at : at + plane_bytes], "little"))
                at += plane_bytes
            for lane, row in enumerate(block):
                high, slot = divmod(states[lane], 256)
                i = small.owners[slot]
                low = sum((plane >> lane & 1) << k for k, plane in enumerate(planes))
                levels[row][col] = (table.level_min + i << low_bits) + low
                states[lane] = table.freqs[i] * high + small.ranks[slot]
            for lane in range(len(block)):
                if states[lane] < 256:
                    states[lane] = states[lane] * 256 + (data[at] if at < len(data) else 0)
                    at += 1
    check(all(state == 256 for state in states), "corrupt", "final state")
    rest = data[at:]
    good = at <= len(data) and len(rest) <= 3 and not any(rest)
    check(good, "corrupt", "end of the tile")
    in_range = all(-128 <= level <= 127 for row in levels for level in row)
    check(in_range, "bad table", "level out of range")
    return levels


def exchange(w, i, j):
    w[i], w[j] = w[j], w[i]


def negate(w, *places):
    for j in places:
        w[j] = -w[j]


def window_tuple(table, n, p, raw):  # 4.3
    """The four levels of a tuple."""
    w, bits = list(table.entries[n % len(table.entries)]), table.raw_bits
    if table.code_bits < 8:
        return short_tuple(w, table.code_bits, n, p)
    if bits == 6:
        w[0] += table.low_step * (raw >> 4 & 1)
        w[2] += table.low_step * (raw >> 5 & 1)
    if n & 128:
        w = w[2:] + w[:2] if bits >= 4 else [-level for level in w]
    if p & 1:
        exchange(w, 0, 1)
    if p & 2:
        exchange(w, 2, 3)
    if p & 4 and bits >= 4:
        exchange(w, 1, 2)
    elif p & 4:
        w = w[2:] + w[:2]
    if p & 8 and bits == 0:
        negate(w, 0, 1)
    elif p & 8 and bits == 2:
        exchange(w, 1, 2)
    elif p & 8:
        exchange(w, 0, 2)
    if bits == 2:
        if raw & 1:
            negate(w, 0, 1)
        if raw & 2:
            negate(w, 0, 2)
    elif bits:
        for j in range(4):
            w[j] += table.low_step * (bits == 8 and raw >> (4 + j) & 1)
            if raw >> j & 1:
                negate(w, j)
    return w


def short_tuple(w, code_bits, n, p):  # 4.3
    """The entry w turned, where n has 4 or 6 bits."""
    if n & 32:
        negate(w, 0, 1, 2, 3)
    if p & 1:
        exchange(w, 0, 1)
        exchange(w, 2, 3)
        negate(w, 0, 2)
    if p & 2:
        w = w[2:] + w[:2]
        negate(w, 0, 3)
    if p & 4:
        negate(w, *((0, 1, 2, 3) if code_bits == 4 else (0, 1)))
    if p & 8:
        exchange(w, 1, 2)
    return w


def window_groups(cols, spans):
    """(first column, table) of every group of 32 columns."""
    out, begin = [], 0
    for columns, table in spans:
        out += [(col, table) for col in range(begin, begin + columns, 32)]
        begin += columns
        check(begin % 32 == 0 or begin == cols, "bad layout", "a span ends inside a group")
    check(begin == cols, "bad layout", "spans")
    return out


def window_parts(table):  # 4.3
    """What a group holds of each lane: (bytes, [(tuple, first bit, bits, is raw), ...]) of every
    part, in order; the fields stand in it from bit 0 on."""
    first, second, both = range(4), range(4, 8), range(8)
    nibbles = [field for q in first for field in ((q, 0, 4, False), (q + 4, 0, 4, False))]
    if table.code_bits == 8:
        parts = [(4, [(t, 0, 8, False) for t in half]) for half in (first, second)]
    else:
        parts = [(4, nibbles)]
    if table.code_bits == 6:
        parts.append((2, [(t, 4, 2, False) for t in both]))
    if table.raw_bits == 2:
        parts.append((2, [(t, 0, 2, True) for t in both]))
    if table.raw_bits in (4, 6):
        parts.append((4, [(t, 0, 4, True) for t in both]))
    if table.raw_bits == 6:
        parts.append((2, [(t, 4, 2, True) for t in both]))
    if table.raw_bits == 8:
        parts += [(4, [(t, 0, 8, True) for t in half]) for half in (first, second)]
    return parts


def decode_window(data, rows, cols, memory, spans):  # 4.3; spans: (columns, table)
    levels = [[0] * cols for _ in range(rows)]
    groups = window_groups(cols, spans)
    size = rows * sum(table.code_bits + table.raw_bits for _, table in groups)
    check(len(data) == -(-size // 4) * 4, "bad layout", "size of a tile")
    at = 0
    for block in cut(rows, 32):
        for col, table in groups:
            own = [[0] * 8 for _ in block]
            raw = [[0] * 8 for _ in block]
            for size, fields in window_parts(table):
                for lane in range(len(block)):
                    word = int.from_bytes(data[at : at + size], "little")
                    at += size
                    for t, bit, bits, is_raw in fields:
                        (raw if is_raw else own)[lane][t] |= (word & ((1 << bits) - 1)) << bit
                        word >>= bits
            for lane, row in enumerate(block):
                above = own[lane - 1] if memory and lane > 0 else [0] * 8
                for t in range(8):
                    tuple_ = window_tuple(table, own[lane][t], above[t], raw[lane][t])
                    for j, level in enumerate(tuple_):
                        if col + 4 * t + j < cols:
                            levels[row][col + 4 * t + j] = level
    return levels


def encode_window(codes, cols, spans):
    """codes: for each row the (n, raw bits) of its tuples, whole groups of 32 columns."""
    out = b""
    for block in cut(len(codes), 32):
        for col, table in window_groups(cols, spans):
            for size, fields in window_parts(table):
                for row in block:
                    word = at = 0
                    for t, bit, bits, is_raw in fields:
                        value = codes[row][col // 4 + t][is_raw] >> bit
                        word |= (value & ((1 << bits) - 1)) << at
                        at += bits
                    out += word.to_bytes(size, "little")
    return out + bytes(-len(out) % 4)


def encode_raw(levels, lanes, bits, level_min):
    out = b""
    for block in cut(len(levels), lanes):
        for group in range(0, len(levels[0]), 32):
            strings = []
            for row in block:
                symbols = [level - level_min for level in levels[row][group : group + 32]]
                strings.append(sum(symbol << (i * bits) for i, symbol in enumerate(symbols)))
            for k in range(bits):
                for string in strings:
                    out += struct.pack("<I", string >> (32 * k) & 0xFFFFFFFF)
    return out


def encode_rans(levels, lanes, column_tables):
    """(states, words): everything runs backwards, with the steps of 4.2 undone one by one."""
    rows, cols = len(levels), len(levels[0])
    states, words = [STATE_START] * min(lanes, rows), []
    for block in reversed(cut(rows, lanes)):
        for col in reversed(range(cols)):
            table = column_tables[col]
            for lane in reversed(range(len(block))):
                i = levels[block[lane]][col] - table.level_min
                freq, x = table.freqs[i], states[lane]
                # The decoder takes a word exactly if this push alone would leave 32 bits.
                if ((x // freq) << table.prob_bits) + x % freq + table.cums[i] >= 1 << 32:
                    words.append(x & 0xFFFF)
                    x >>= 16
                states[lane] = ((x // freq) << table.prob_bits) + x % freq + table.cums[i]
    return states, words[::-1]


def encode_rans16(levels, lanes, column_tables, low_bits):
    """(states, bytes): as encode_rans()."""
    slots = {id(table): SmallSlots(table) for table in column_tables}
    rows, cols = len(levels), len(levels[0])
    states, out = [256] * min(lanes, rows), []
    for block in reversed(cut(rows, lanes)):
        for col in reversed(range(cols)):
            table, small = column_tables[col], slots[id(column_tables[col])]
            for lane in reversed(range(len(block))):
                i = (levels[block[lane]][col] >> low_bits) - table.level_min
                freq, x = table.freqs[i], states[lane]
                if x >= 256 * freq:
                    out.append(x % 256)
                    x //= 256
                states[lane] = x // freq * 256 + small.slot_of(i, x % freq)
            for k in reversed(range(low_bits)):
                bits = [levels[row][col] >> k & 1 for row in block]
                plane = sum(bit << lane for lane, bit in enumerate(bits))
                out += reversed(plane.to_bytes(-(-len(block) // 8), "little"))
    return states, bytes(out[::-1])
