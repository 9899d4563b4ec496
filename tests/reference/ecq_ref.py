#!/usr/bin/env python3
"""A second, slow implementation of the .ecq format, written from docs/format.md alone.

Plain Python 3; section numbers in comments are those of docs/format.md.

    ecq_ref.py list FILE               matrices, their shapes and codecs
    ecq_ref.py sha256 FILE             SHA-256 of the integers of every matrix: int32,
                                       little-endian, row by row, columns as stored
    ecq_ref.py weights FILE MATRIX     the weights, one row a line, columns as in the model
    ecq_ref.py resave IN OUT           the same tensors sorted by name and packed without alignment,
                                       as other safetensors tools may leave them
"""

import hashlib
import json
import math
import struct
import sys

from ecq_codestreams import (
    FormatError,
    Table,
    WindowTable,
    check,
    decode_rans,
    decode_rans16,
    decode_raw,
    decode_window,
    read_table,
)

try:
    import xxhash
except ImportError:
    xxhash = None

READER_VERSION = 3
DTYPE_BYTES = {"U8": 1, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4}


def no_duplicates(pairs):
    check(len({key for key, _ in pairs}) == len(pairs), "bad header", "duplicate key")
    return dict(pairs)


def parse_json(text):
    try:
        return json.loads(text, object_pairs_hook=no_duplicates)
    except ValueError as error:
        raise FormatError("bad header", str(error)) from error


# Sections 1 to 3: the container and the matrices.


class EcqFile:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        check(len(self.data) >= 9, "truncated", "no header")
        header_bytes = struct.unpack_from("<Q", self.data)[0]
        check(0 < header_bytes <= 100_000_000, "bad magic", "header length")
        check(8 + header_bytes <= len(self.data), "truncated", "header")
        try:
            header = parse_json(self.data[8 : 8 + header_bytes].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise FormatError("bad header", str(error)) from error
        self.metadata = header.pop("__metadata__", {})
        check(self.metadata.get("format") == "ecq", "bad magic", "format")
        minimum = int(self.metadata["ecq.min_reader"])
        check(minimum <= READER_VERSION, "unsupported version", str(minimum))
        self.tensors = header
        self.section = 8 + header_bytes
        self.check_cover()
        self.records = parse_json(self.metadata["ecq.matrices"])
        self.tables, at = [], 0
        packed_tables = self.bytes("ecq.tables") if "ecq.tables" in self.tensors else b""
        while at < len(packed_tables):
            table, at = read_table(packed_tables, at)
            self.tables.append(table)

    def check_cover(self):
        end = 0
        for entry in sorted(self.tensors.values(), key=lambda entry: entry["data_offsets"]):
            size = math.prod(entry["shape"]) * DTYPE_BYTES[entry["dtype"]]
            check(entry["data_offsets"] == [end, end + size], "bad layout", "gap or overlap")
            end += size
        check(self.section + end <= len(self.data), "truncated", "data section")
        check(self.section + end == len(self.data), "bad layout", "bytes after the last tensor")

    def bytes(self, name):
        begin, end = self.tensors[name]["data_offsets"]
        return self.data[self.section + begin : self.section + end]

    def values(self, name):
        """A flat tuple, or None if there is no such tensor."""
        if name not in self.tensors:
            return None
        dtype = self.tensors[name]["dtype"]
        code = {"U8": "B", "U16": "H", "F16": "e", "I32": "i", "U32": "I"}[dtype]
        data = self.bytes(name)
        return struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)

    def table(self, number, kind):
        """Record `number` of ecq.tables, of the kind that the codec takes."""
        check(number < len(self.tables), "bad table", "table number")
        check(isinstance(self.tables[number], kind), "bad table", "kind of another codec")
        return self.tables[number]

    def check_hashes(self):
        """False if they cannot be checked here."""
        if xxhash is None:
            return False
        hashes = parse_json(self.metadata["ecq.hashes"])
        texts = {name: self.bytes(name) for name in self.tensors}
        texts["ecq.matrices"] = self.metadata["ecq.matrices"].encode("utf-8")
        check(hashes.keys() == texts.keys(), "bad header", "hashes and tensors do not match")
        for name, text in texts.items():
            check(xxhash.xxh3_64_hexdigest(text) == hashes[name], "corrupt", name)
        return True

    def integers(self, name):
        """Rows of the integers of a matrix, columns as stored (section 6)."""
        record = self.records[name]
        rows, cols = record["shape"]
        lanes = record["lanes"]
        tile_rows = lanes * record["blocks_per_tile"]
        data, index = self.bytes(name + ".ecq_data"), self.values(name + ".ecq_index")
        check(len(index) == -(-rows // tile_rows) + 1 and index[0] == 0, "bad layout", "index")
        check(len(data) == -(-4 * index[-1] // 16) * 16, "bad layout", "size of the codestreams")
        integers = []
        for tile, row in enumerate(range(0, rows, tile_rows)):
            stream = data[4 * index[tile] : 4 * index[tile + 1]]
            size = min(tile_rows, rows - row)
            if record["codec"] == "raw":
                integers += decode_raw(
                    stream, size, cols, lanes, record["bits"], record["level_min"]
                )
            elif record["codec"] == "window":
                check(record["window"] in (8, 12) and lanes == 32, "bad layout", "window or lanes")
                spans = [(count, self.table(t, WindowTable)) for count, t in record["spans"]]
                integers += decode_window(stream, size, cols, record["window"] == 12, spans)
            else:
                check(record["codec"] in ("rans", "rans16"), "unsupported codec", record["codec"])
                column_tables = []
                for count, t in record["spans"]:
                    column_tables += [self.table(t, Table)] * count
                check(len(column_tables) == cols, "bad layout", "spans")
                if record["codec"] == "rans":
                    integers += decode_rans(stream, size, cols, lanes, column_tables)
                else:
                    bits = record["low_bits"]
                    check(0 <= bits <= 2, "bad layout", "low_bits")
                    integers += decode_rans16(stream, size, cols, lanes, column_tables, bits)
        for row, col, delta in self.fixes(name):
            integers[row][col] += delta
        return integers

    def fixes(self, name):
        """(row, stored column, delta) of every fix (section 3)."""
        values = self.values(name + ".ecq_fixes") or ()
        if values and self.tensors[name + ".ecq_fixes"]["dtype"] == "U16":
            return short_fixes(values, *self.records[name]["shape"])
        return [values[i : i + 3] for i in range(0, len(values), 3)]

    def order(self, name):
        """The column of the model that each stored column is (section 3)."""
        cols = self.records[name]["shape"][1]
        classes = self.values(name + ".ecq_col_class")
        order = self.values(name + ".ecq_col_order")
        check(classes is None or order is None, "bad layout", "classes and an order")
        if classes is None:
            return order or range(cols)
        check(len(classes) == -(-cols // 2), "bad layout", "number of classes")
        nibbles = [byte >> shift & 15 for byte in classes for shift in (0, 4)]
        check(cols % 2 == 0 or nibbles[cols] == 0, "bad layout", "a class of no column")
        return sorted(range(cols), key=lambda col: nibbles[col])  # sorted() is stable

    def weights(self, name):
        """Rows of the weights, columns as in the model (section 6)."""
        record = self.records[name]
        rows, cols = record["shape"]
        power = 2.0 ** record["scale_exponent"]
        scales, biases = self.values(name + ".ecq_scale"), self.values(name + ".ecq_bias")
        col_scales = self.values(name + ".ecq_col_scale") or [1.0] * cols
        order = self.order(name)

        def place(r, c):
            if record["scale"] == "tensor":
                return 0
            return r if record["scale"] == "row" else c // record["group_size"] * rows + r

        out = [[0.0] * cols for _ in range(rows)]
        for r, row in enumerate(self.integers(name)):
            for c, integer in enumerate(row):
                bias = biases[place(r, c)] * power if biases else 0.0
                weight = scales[place(r, c)] * power * integer + bias
                out[r][order[c]] = weight * col_scales[c]
        return [unrotate(row, record["rotation"]) for row in out] if "rotation" in record else out


def short_fixes(values, rows, cols):  # 3
    """Fixes out of pairs (gap, delta)."""
    out, place = [], 0
    for i in range(0, len(values), 2):
        gap, delta = values[i], (values[i + 1] ^ 0x8000) - 0x8000
        place += gap
        check(place < rows * cols, "bad layout", "a fix after the last weight")
        if gap == 65535:
            check(delta == 0 and i + 2 < len(values), "bad layout", "a bad skip")
            continue
        check(delta not in (0, -32768), "bad layout", "a bad delta")
        out.append((place // cols, place % cols, delta))
        place += 1
    return out


def unrotate(row, block):  # 6.1
    """The rotation of a row undone: S H row."""
    good = 2 <= block <= 4096 and block & (block - 1) == 0 and len(row) % block == 0
    check(good, "bad layout", "rotation")
    out = []
    for begin in range(0, len(row), block):
        values = row[begin : begin + block]
        for i in range(block):
            total = sum(-v if (i & j).bit_count() % 2 else v for j, v in enumerate(values))
            sign = -1 if (begin + i) * 0x9E3779B1 % 2**32 >> 31 else 1
            out.append(sign * total / block**0.5)
    return out


def integers_sha256(integers):
    sha = hashlib.sha256()
    for row in integers:
        sha.update(struct.pack(f"<{len(row)}i", *row))
    return sha.hexdigest()


def weights_sha256(weights):
    """Of weights that f32 holds exactly."""
    sha = hashlib.sha256()
    for row in weights:
        data = struct.pack(f"<{len(row)}f", *row)
        check(struct.unpack(f"<{len(row)}f", data) == tuple(row), "bad layout", "rounded weights")
        sha.update(data)
    return sha.hexdigest()


def resave(source, path):
    ecq = EcqFile(source)
    header, data = {"__metadata__": ecq.metadata}, b""
    for name in sorted(ecq.tensors):
        part = ecq.bytes(name)
        header[name] = dict(ecq.tensors[name], data_offsets=[len(data), len(data) + len(part)])
        data += part
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("list", "sha256", "weights", "resave"):
        sys.exit(__doc__)
    command, path = arguments[:2]
    if command == "resave":
        return resave(path, arguments[2])
    ecq = EcqFile(path)
    if not ecq.check_hashes():
        print("hashes NOT checked: the Python module xxhash is missing", file=sys.stderr)
    if command == "weights":
        for row in ecq.weights(arguments[2]):
            print(*row)
    for name, record in ecq.records.items():
        if command == "list":
            print(name, record["shape"], record["codec"], record["grid"])
        elif command == "sha256":
            print(name, integers_sha256(ecq.integers(name)))
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
