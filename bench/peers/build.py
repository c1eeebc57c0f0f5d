"""A setup.py with its files compiled side by side, MAX_JOBS at a time. PyTorch's BuildExtension does that only where
ninja is installed; without it one core compiles ApproxTorch's 23 files one by one, which sixteen cores at once do in
263 s: all include PyTorch's headers.
  python build.py setup.py build_ext --inplace
"""
import os
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor

import setuptools  # noqa: F401 (from here on distutils is its own)
from distutils.ccompiler import CCompiler  # isort: skip

one_by_one = CCompiler.compile


def side_by_side(self, *words, **named):
    # Commands are formed one after the other, since forming one changes the compiler's settings; only running them is
    # left to threads. Newer setuptools call `call` what older ones call `spawn`.
    name = "call" if hasattr(self, "call") else "spawn"
    run = getattr(self, name)
    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count()))) as pool:
        running = []
        setattr(self, name, lambda command, **more: running.append(pool.submit(run, list(command), **more)))
        try:
            objects = one_by_one(self, *words, **named)
        finally:
            setattr(self, name, run)
        for command in running:
            command.result()
    return objects


CCompiler.compile = side_by_side
sys.argv = sys.argv[1:]
sys.path.insert(0, os.getcwd())
runpy.run_path(sys.argv[0], run_name="__main__")
