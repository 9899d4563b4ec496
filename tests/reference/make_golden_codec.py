#!/usr/bin/env python3
"""Writes the golden vectors of tests/golden/codec with the encoder of ecq_codestreams.py.

    make_golden_codec.py DIRECTORY

Every case is encoded, decoded again and compared before it is written. The format is line by line,
`#` starts a comment:

    case NAME
    codec rans | rans16 LOW_BITS | raw BITS LEVEL_MIN | window BITS
    lanes L / blocks_per_tile B / shape ROWS COLUMNS
    table PROB_BITS LEVEL_MIN FREQUENCY...     rans, rans16: the tables, numbered from 0
    gaussian RHO                               if the table above is of kind 2
    record HEX...                              its record, which says all of a window table
    span COLUMNS TABLE
    tuple HEX...                               window: the bytes of the tuples of one row
    raw HEX...                                 window: their raw bits
    level NUMBER...                            one line for each row
    tile                                       the codestream of the next tile follows
    bytes HEX...
    end
"""

import random
import struct
import sys

import ecq_codestreams


def leb128(value):
    out = []
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def stored(prob_bits, level_min, freqs):
    record = struct.pack("<BBbB", 1, prob_bits, level_min, len(freqs) - 1)
    return record + b"".join(map(leb128, freqs))


def gaussian(prob_bits, level_min, num_levels, rho):
    return struct.pack("<BBbBI", 2, prob_bits, level_min, num_levels - 1, rho)


def hex_bytes(data):
    return " ".join(f"{byte:02x}" for byte in data)


def random_levels(rng, rows, spans, tables, low_bits=0):
    """Levels drawn from the tables of their columns, with random low bits."""
    out = []
    for _ in range(rows):
        row = []
        for columns, number in spans:
            table = tables[number]
            for _ in range(columns):
                level = table.level_min + rng.choice(table.slots)
                row.append((level << low_bits) + (rng.randrange(1 << low_bits) if low_bits else 0))
        out.append(row)
    return out


def window_table(rng, bits, low_step=0, reach=127, code_bits=8):
    size = 4 * {4: 16, 6: 32, 8: 128}[code_bits]
    levels = [rng.randrange(-reach, min(reach, 127 - low_step) + 1) for _ in range(size)]
    return struct.pack(f"<BBBB{size}b", 3, bits, low_step, 8 - code_bits, *levels)


def random_codes(rng, rows, cols, bits):
    """bits: (columns, raw bits) of every span, or (columns, raw bits, code bits)."""
    bits = [(*rest, 8)[:2] for columns, *rest in bits for _ in range(-(-columns // 32) * 8)]
    assert len(bits) == -(-cols // 32) * 8
    return [[(rng.randrange(1 << c), rng.randrange(1 << r)) for r, c in bits] for _ in range(rows)]


def window_levels(codes, cols, spans, memory):
    """The levels straight from the codes, without a codestream."""
    tables = [table for columns, table in spans for _ in range(-(-columns // 4))]
    out = []
    for row, own in enumerate(codes):
        above = codes[row - 1] if memory and row % 32 else [(0, 0)] * len(own)
        tuples = [
            ecq_codestreams.window_tuple(table, n, p, raw)
            for table, (n, raw), (p, _) in zip(tables, own, above)
        ]
        out.append([level for part in tuples for level in part][:cols])
    return out


class Writer:
    def __init__(self, path, title):
        self.file = open(path, "w", encoding="ascii")
        self.say(f"# {title} Made by tests/reference/make_golden_codec.py.")

    def say(self, line):
        print(line, file=self.file)

    def head(self, name, codec, lanes, blocks, levels):
        self.say(f"\ncase {name}\ncodec {codec}\nlanes {lanes}\nblocks_per_tile {blocks}")
        self.say(f"shape {len(levels)} {len(levels[0])}")

    def levels(self, levels):
        for row in levels:
            self.say("level " + " ".join(map(str, row)))

    def tiles(self, levels, lanes, blocks):
        size = lanes * blocks
        for begin in range(0, len(levels), size):
            self.say(f"tile  # rows {begin} to {min(begin + size, len(levels)) - 1}")
            yield levels[begin : begin + size]

    def data(self, data, comment, per_line):
        for i in range(0, len(data), per_line):
            note = f"  # {comment}" if i == 0 else ""
            self.say(f"bytes {hex_bytes(data[i:i + per_line])}{note}")

    def rans(self, name, records, levels, lanes=1, blocks=1, spans=None, low_bits=None):
        """low_bits: makes it rans16."""
        small = low_bits is not None
        parameters = (low_bits,) if small else ()
        state_bytes, state, unit = (2, "H", "B") if small else (4, "I", "H")
        tables = [ecq_codestreams.read_table(record, 0)[0] for record in records]
        spans = spans or [(len(levels[0]), 0)]
        self.head(name, f"rans16 {low_bits}" if small else "rans", lanes, blocks, levels)
        for table, record in zip(tables, records):
            freqs = " ".join(map(str, table.freqs))
            self.say(f"table {table.prob_bits} {table.level_min} {freqs}")
            if record[0] == 2:
                self.say(f"gaussian {struct.unpack_from('<I', record, 4)[0]}")
            self.say(f"record {hex_bytes(record)}")
        for columns, number in spans:
            self.say(f"span {columns} {number}")
        self.levels(levels)
        column_tables = [tables[number] for columns, number in spans for _ in range(columns)]
        for tile in self.tiles(levels, lanes, blocks):
            encode = ecq_codestreams.encode_rans16 if small else ecq_codestreams.encode_rans
            states, units = encode(tile, lanes, column_tables, *parameters)
            stream = struct.pack(f"<{len(states)}{state}{len(units)}{unit}", *states, *units)
            padding = bytes(-len(stream) % 4)
            shape = len(tile), len(tile[0])
            decode = ecq_codestreams.decode_rans16 if small else ecq_codestreams.decode_rans
            back = decode(stream + padding, *shape, lanes, column_tables, *parameters)
            assert back == tile, name
            for lane, x in enumerate(states):
                self.data(struct.pack(f"<{state}", x), f"state of lane {lane}: {x}", 4)
            if units:
                note = f"{len(units)} {'bytes' if small else 'words'}"
                self.data(stream[state_bytes * len(states) :], note, 32)
            if padding:
                self.data(padding, "padding", 3)
        self.say("end")

    def raw(self, name, bits, level_min, levels, lanes=1, blocks=1):
        self.head(name, f"raw {bits} {level_min}", lanes, blocks, levels)
        self.levels(levels)
        for tile in self.tiles(levels, lanes, blocks):
            stream = ecq_codestreams.encode_raw(tile, lanes, bits, level_min)
            back = ecq_codestreams.decode_raw(stream, len(tile), len(tile[0]), lanes, bits, level_min)
            assert back == tile, name
            self.data(stream, f"{len(stream) // 4} words", 32)
        self.say("end")

    def window(self, name, records, codes, cols, blocks=1, spans=None, memory=True):
        tables = [ecq_codestreams.read_table(record, 0)[0] for record in records]
        spans = spans or [(cols, 0)]
        of_columns = [(columns, tables[number]) for columns, number in spans]
        streams, levels = [], []
        for begin in range(0, len(codes), 32 * blocks):
            tile = codes[begin : begin + 32 * blocks]
            streams.append(ecq_codestreams.encode_window(tile, cols, of_columns))
            levels += ecq_codestreams.decode_window(streams[-1], len(tile), cols, memory, of_columns)
        assert levels == window_levels(codes, cols, of_columns, memory), name
        self.head(name, f"window {12 if memory else 8}", 32, blocks, levels)
        for record in records:
            self.say("table")
            for i in range(0, len(record), 64):
                self.say(f"record {hex_bytes(record[i:i + 64])}")
        for columns, number in spans:
            self.say(f"span {columns} {number}")
        for row in codes:
            self.say("tuple " + hex_bytes(n for n, _ in row))
            self.say("raw " + hex_bytes(raw for _, raw in row))
        self.levels(levels)
        for stream, _ in zip(streams, self.tiles(levels, 32, blocks)):
            self.data(stream, f"{len(stream)} bytes", 32)
        self.say("end")


def write_counts(path):
    out = Writer(path, "rANS: numbers of symbols around the lane counts.")
    record = stored(8, -1, [64, 128, 64])
    table = ecq_codestreams.read_table(record, 0)[0]
    for count in (1, 2, 31, 32, 33, 63, 64, 65):
        rng = random.Random(count)
        row = random_levels(rng, 1, [(count, 0)], [table])
        out.rans(f"{count}-columns-1-lane", [record], row)
        column = [[level] for level in row[0]]
        out.rans(f"{count}-rows-32-lanes", [record], column, lanes=32)
        out.rans(f"{count}-rows-4-lanes-8-blocks", [record], column, lanes=4, blocks=8)


def write_tables(path):
    out = Writer(path, "rANS: alphabets, precisions and degenerate tables.")
    rng = random.Random(1)

    def case(name, record, levels=None):
        table = ecq_codestreams.read_table(record, 0)[0]
        levels = levels or random_levels(rng, 4, [(40, 0)], [table])
        out.rans(name, [record], levels, lanes=4)

    case("certain-level", stored(8, 5, [256]))
    case("certain-level-14-bits", stored(14, -128, [16384]))
    case("certain-level-among-unused", stored(8, -2, [0, 0, 256, 0]))
    case("two-levels", stored(8, 0, [1, 255]), [[0, 1, 1, 0] * 5, [1] * 20, [0] * 20, [1, 0] * 10])
    case("alphabet-16", stored(10, -8, [64] * 16))
    case("alphabet-256-all-ones", stored(8, -128, [1] * 256), [list(range(-128, 128))] * 2)
    case("alphabet-256-14-bits", stored(14, -128, [64] * 256))
    rare = [[0] * 30 + [1] + [0] * 9, [1] * 40, [0] * 40]
    case("rare-beside-huge", stored(14, 0, [16383, 1]), rare)
    case("rare-first", stored(12, 0, [1, 4095]), [[1] * 30 + [0] + [1] * 9, [0] * 40, [1] * 40])
    case("last-level-unused", stored(8, -1, [100, 156, 0]))
    case("gap-inside", stored(9, 100, [200, 0, 0, 312]))
    for prob_bits in range(8, 15):
        rest = (1 << prob_bits) - 6
        case(f"stored-{prob_bits}-bits", stored(prob_bits, -2, [1, 2, rest, 2, 1]))
        case(f"gaussian-{prob_bits}-bits", gaussian(prob_bits, -7, 15, 3794832442))
    case("gaussian-skew", gaussian(10, -3, 11, 4080218931))
    case("gaussian-only-zero", gaussian(8, 0, 1, 0))
    case("gaussian-flat", gaussian(12, -128, 256, (1 << 32) - 1))
    case("gaussian-steep", gaussian(12, -5, 10, 1))


def write_shapes(path):
    out = Writer(path, "rANS: lanes, ragged blocks, several tiles and column spans.")
    records = [gaussian(10, -6, 13, 3600000000), stored(12, -1, [1000, 2096, 1000])]
    tables = [ecq_codestreams.read_table(record, 0)[0] for record in records]
    rng = random.Random(2)
    for lanes, blocks, rows, cols in [
        (1, 1, 3, 5), (1, 4, 6, 7), (2, 2, 7, 9), (4, 1, 5, 7), (4, 3, 26, 5),
        (8, 2, 9, 12), (16, 1, 16, 8), (32, 1, 33, 6), (32, 2, 70, 4),
    ]:  # fmt: skip
        levels = random_levels(rng, rows, [(cols, 0)], tables)
        out.rans(f"{rows}x{cols}-{lanes}-lanes-{blocks}-blocks", records[:1], levels, lanes, blocks)
    spans = [(3, 0), (6, 1), (1, 0)]
    levels = random_levels(rng, 11, spans, tables)
    out.rans("three-spans-two-tables", records, levels, 4, 2, spans)


def write_rans16(path):
    out = Writer(path, "rans16: slots, lanes, ragged blocks, several tiles and column spans.")
    rng = random.Random(5)
    tables = {
        "of-the-format-page": stored(8, -1, [3, 241, 12]),
        "two-levels": stored(8, 127 - 1, [1, 255]),
        "32-levels": stored(8, -128, [8] * 32),
        "32-levels-with-gaps": stored(8, -40, [5, 0, 11] * 15 + [4, 0, 12]),
        "every-bucket-shared": stored(8, -16, [7] * 31 + [39]),
        "rare-ones": stored(8, -15, [1] * 15 + [226] + [1] * 15),
        "gaussian": gaussian(8, -7, 15, 3794832442),
        "gaussian-skew": gaussian(8, -3, 11, 4080218931),
    }
    for name, record in tables.items():
        table = ecq_codestreams.read_table(record, 0)[0]
        levels = random_levels(rng, 5, [(40, 0)], [table])
        out.rans(name, [record], levels, lanes=4, low_bits=0)
    out.rans("worked-example", [tables["of-the-format-page"]], [[1, -1]], low_bits=0)
    records = [tables["gaussian"], tables["gaussian-skew"]]
    read = [ecq_codestreams.read_table(record, 0)[0] for record in records]
    for lanes, blocks, rows, cols in [
        (1, 1, 1, 1), (1, 4, 6, 7), (4, 3, 26, 5), (32, 1, 1, 33), (32, 1, 33, 6), (32, 2, 70, 4),
        (32, 1, 64, 34),
    ]:  # fmt: skip
        levels = random_levels(rng, rows, [(cols, 0)], read)
        name = f"{rows}x{cols}-{lanes}-lanes-{blocks}-blocks"
        out.rans(name, records[:1], levels, lanes, blocks, low_bits=0)
    spans = [(32, 0), (32, 1), (3, 0)]
    levels = random_levels(rng, 40, spans, read)
    out.rans("three-spans-two-tables", records, levels, 32, 1, spans, 0)
    for low_bits, lanes, rows, cols in [
        (1, 1, 2, 9), (2, 4, 7, 5), (1, 32, 33, 40), (2, 32, 64, 36), (2, 32, 75, 3),
    ]:  # fmt: skip
        levels = random_levels(rng, rows, [(cols, 0)], read, low_bits)
        name = f"{low_bits}-low-bits-{rows}x{cols}-{lanes}-lanes"
        out.rans(name, records[:1], levels, lanes, 1, low_bits=low_bits)


def write_raw(path):
    out = Writer(path, "raw: every width, ragged column groups, lanes and blocks.")
    rng = random.Random(3)
    for bits in range(1, 9):
        low = -(1 << (bits - 1))
        for cols in (1, 31, 32, 33, 70):
            high = low + (1 << bits)
            levels = [[rng.randrange(low, high) for _ in range(cols)] for _ in range(3)]
            out.raw(f"{bits}-bits-{cols}-columns", bits, low, levels, lanes=2, blocks=2)
    levels = [[rng.randrange(-5, 11) for _ in range(35)] for _ in range(37)]
    out.raw("32-lanes-ragged", 4, -5, levels, lanes=32)
    out.raw("4-lanes-3-blocks-ragged", 4, -5, levels, lanes=4, blocks=3)
    out.raw("1-lane", 5, -5, levels[:3], lanes=1, blocks=2)


def write_window(path):
    out = Writer(path, "window: raw bits, memory, ragged rows and columns, spans, tiles.")
    rng = random.Random(4)
    for bits in (0, 2, 4, 8):
        record = window_table(rng, bits, 3 if bits == 8 else 0, 9)
        codes = random_codes(rng, 33, 32, [(32, bits)])
        out.window(f"{bits}-bits", [record], codes, 32)
        out.window(f"{bits}-bits-no-memory", [record], codes[:3], 32, memory=False)
    record = window_table(rng, 8, 254)
    out.window("widest-step", [record], random_codes(rng, 2, 32, [(32, 8)]), 32)
    record = window_table(rng, 2)
    out.window("1-row-1-column", [record], random_codes(rng, 1, 1, [(1, 2)]), 1)
    out.window("3-rows-5-columns-padding", [record], random_codes(rng, 3, 5, [(5, 2)]), 5)
    records = [window_table(rng, 0), window_table(rng, 4, 0, 30)]
    spans, bits = [(32, 1), (32, 0), (7, 1)], [(32, 4), (32, 0), (7, 4)]
    out.window("3-spans-2-tiles", records, random_codes(rng, 66, 71, bits), 71, 2, spans)


def write_window_rates(path):
    out = Writer(path, "window: codes of 4 and 6 bits, 6 raw bits.")
    rng = random.Random(6)
    for code_bits, raw_bits in ((4, 0), (6, 0), (8, 6)):
        record = window_table(rng, raw_bits, 3 if raw_bits else 0, 9, code_bits)
        codes = random_codes(rng, 33, 32, [(32, raw_bits, code_bits)])
        name = f"{code_bits + raw_bits}-bits-a-tuple"
        out.window(name, [record], codes, 32)
        out.window(f"{name}-no-memory", [record], codes[:3], 32, memory=False)
    record = window_table(rng, 6, 254)
    out.window("widest-step", [record], random_codes(rng, 2, 32, [(32, 6)]), 32)
    record = window_table(rng, 0, code_bits=6)
    out.window("1-row-1-column", [record], random_codes(rng, 1, 1, [(1, 0, 6)]), 1)
    out.window("3-rows-5-columns-padding", [record], random_codes(rng, 3, 5, [(5, 0, 6)]), 5)
    records = [window_table(rng, 0, 0, 30, 4), record, window_table(rng, 6, 7)]
    spans, bits = [(32, 1), (32, 2), (7, 0)], [(32, 0, 6), (32, 6, 8), (7, 0, 4)]
    out.window("3-spans-2-tiles", records, random_codes(rng, 66, 71, bits), 71, 2, spans)


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    for name, write in [
        ("rans_counts", write_counts), ("rans_tables", write_tables),
        ("rans_shapes", write_shapes), ("rans16", write_rans16), ("raw", write_raw),
        ("window", write_window), ("window_rates", write_window_rates),
    ]:  # fmt: skip
        write(f"{arguments[0]}/{name}.txt")


if __name__ == "__main__":
    main(sys.argv[1:])
