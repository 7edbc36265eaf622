"""Which runtimes read the shipped files, and whether they say the same: each in an environment of its own.

    python -m benchmarks.runtimes models/*/model.onnx

Every file is run as it is and as `diminuendo convert --opset 21` and `18` write it. A cell is the largest difference of
any log-probability from the locked ONNX Runtime's, or — where the runtime refuses the file; why is on standard error.
The versions are fetched, so this needs the network. Environments are kept in `--folder` for the next time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from diminuendo.artifact.onnx_file import read_metadata, read_onnx
from diminuendo.export.check import probe
from diminuendo.export.convert import convert_file

RUNTIMES = {
    **{f"ONNX Runtime {v}": ("onnxruntime", v) for v in ("1.18.1", "1.20.1", "1.22.1", "1.24.4", "1.25.1")},
    **{f"OpenVINO {v}": ("openvino", v) for v in ("2024.6.0", "2025.4.0", "2026.4.1")},
    **{f"ONNX Runtime {v} (Node)": ("onnxruntime-node", v) for v in ("1.22.0", "1.30.0")},
    **{f"ONNX Runtime {v} (WebAssembly)": ("onnxruntime-web", v) for v in ("1.22.0", "1.30.0")},
}
PYTHON = "3.11"
WRONG = 0.5  # nats: more than an activation that falls on the other side of a step of 8 bits does
ONNXRUNTIME = """
import sys, numpy, onnxruntime
given = numpy.load(sys.argv[2])
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
numpy.save(sys.argv[3], session.run(["log_probs"], {key: given[key] for key in given.files})[0])
"""
OPENVINO = """
import sys, numpy, openvino
given = numpy.load(sys.argv[2])
model = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
found = model({key: given[key] for key in given.files})
numpy.save(sys.argv[3], found[model.output("log_probs")])
"""
NODE = """
const fs = require("fs"), ort = require(process.argv[5]);
const given = JSON.parse(fs.readFileSync(process.argv[3]));
(async () => {
  if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(fs.readFileSync(process.argv[2]), { logSeverityLevel: 4 });
  const found = await session.run({
    waveform: new ort.Tensor("float32", Float32Array.from(given.waveform), given.shape),
    waveform_lengths: new ort.Tensor("int64", BigInt64Array.from(given.lengths.map(BigInt)), [given.lengths.length]),
  });
  fs.writeFileSync(process.argv[4], Buffer.from(found.log_probs.data.buffer));
})().catch((error) => { console.error(String(error.message ?? error)); process.exit(1); });
"""


class Runtime:
    """One package at one version."""

    def __init__(self, package: str, version: str, folder: Path):
        self.package, self.home = package, folder / f"{package}-{version}"
        self.is_node = package.startswith("onnxruntime-")
        if (self.home / "ready").exists():
            return
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        if self.is_node:
            wanted = ["npm", "install", "--ignore-scripts", "--silent", "--prefix", self.home, f"{package}@{version}"]
            subprocess.run(wanted, check=True)
        else:
            uv = [sys.executable, "-m", "uv", "--quiet"]
            subprocess.run([*uv, "venv", "--python", PYTHON, self.home / "env"], check=True)
            wanted = [f"{package}=={version}", "numpy"]
            subprocess.run([*uv, "pip", "install", "--python", self.home / "env/bin/python", *wanted], check=True)
        (self.home / "ready").touch()

    def run(self, model: Path, feeds: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """Log-probabilities; ValueError: what it said instead."""
        with TemporaryDirectory() as folder:
            given, out = Path(folder) / "given.npz", Path(folder) / "out.npy"
            if self.is_node:
                given.write_text(
                    json.dumps(
                        {
                            "waveform": feeds["waveform"].reshape(-1).tolist(),
                            "shape": feeds["waveform"].shape,
                            "lengths": feeds["waveform_lengths"].tolist(),
                        }
                    )
                )
                (Path(folder) / "run.cjs").write_text(NODE)
                where = self.home / "node_modules" / self.package
                command = ["node", Path(folder) / "run.cjs", model, given, out, where]
            else:
                np.savez(given, **feeds)
                program = OPENVINO if self.package == "openvino" else ONNXRUNTIME
                command = [self.home / "env/bin/python", "-c", program, model, given, out]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
            if done.returncode:
                lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or [
                    f"exit {done.returncode}"
                ]
                raise ValueError(lines[-1])
            return np.fromfile(out, np.float32).reshape(shape) if self.is_node else np.load(out)


def _reason(said: str) -> str:
    """The end of what a runtime said, which names the operator or type."""
    return said.rpartition("] : ")[2].replace("|", "/").strip()[:60]


def cell(runtime: Runtime, model: Path, feeds: dict[str, np.ndarray], expected: np.ndarray, valid: np.ndarray) -> str:
    try:
        found = runtime.run(model, feeds, expected.shape)
    except ValueError as error:
        print(f"refused: {_reason(str(error))}", file=sys.stderr)
        return "—"
    except subprocess.TimeoutExpired:
        return "no answer in 300 s"
    if found.shape != expected.shape:
        return f"**wrong**: shape {found.shape}"
    difference = max(float(np.abs(a[:n] - b[:n]).max()) for a, b, n in zip(found, expected, valid))
    return f"{difference:.0e}" if difference < WRONG else f"**wrong**: {difference:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(".work/runtimes"))
    parser.add_argument("--only", default="", help="Runtimes whose names hold this.")
    args = parser.parse_args()
    runtimes = {}
    for name, (package, version) in RUNTIMES.items():
        if args.only.lower() in name.lower():
            try:
                runtimes[name] = Runtime(package, version, args.folder.absolute())
            except (subprocess.CalledProcessError, OSError) as error:
                print(f"{name}: not installed ({error})", file=sys.stderr)
    columns: dict[str, list[str]] = {}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for path in args.models:
        original = read_onnx(path)
        waveform = probe(int(read_metadata(original)["sample_rate"]))
        feeds = {"waveform": waveform, "waveform_lengths": np.array([waveform.shape[1], waveform.shape[1] // 2])}
        expected, valid = onnxruntime.InferenceSession(str(path), options).run(["log_probs", "lengths"], feeds)
        with TemporaryDirectory() as folder:
            for opset in (original.opset_import[0].version, 21, 18):
                file = path
                if opset < original.opset_import[0].version:
                    file = Path(folder) / f"{opset}.onnx"
                    convert_file(path, opset, file)
                cells = []
                for name, runtime in runtimes.items():
                    print(f"{path.parent.name}, opset {opset}, {name}", file=sys.stderr, flush=True)
                    cells.append(cell(runtime, file.absolute(), feeds, expected, valid))
                columns[f"{path.parent.name}, {opset}"] = cells
    print(f"| | {' | '.join(columns)} |\n|:---|{'---|' * len(columns)}")
    for name, cells in zip(runtimes, zip(*columns.values())):
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
