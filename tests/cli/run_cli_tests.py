#!/usr/bin/env python3
"""Tests of the `ecq` command as its users meet it: run_cli_tests.py ECQ [GROUP...]

A group is a file GROUP_tests.py beside this one; all of them by default. Needs the standard library only.
"""
import pathlib
import sys
import unittest

import cli_util


def main():
    here = pathlib.Path(__file__).resolve().parent
    cli_util.CliTest.binary = str(pathlib.Path(sys.argv[1]).resolve())
    groups = sys.argv[2:] or sorted(p.stem[:-len("_tests")] for p in here.glob("*_tests.py")
                                    if p.stem != pathlib.Path(__file__).stem)
    suite = unittest.TestSuite()
    for group in groups:
        suite.addTests(unittest.defaultTestLoader.loadTestsFromName(f"{group}_tests"))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.wasSuccessful() and suite.countTestCases() > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
