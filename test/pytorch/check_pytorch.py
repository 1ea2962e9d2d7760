"""Holds the exported modules of the whole library to what `mlbtc run` computes on the device, outputs and gradients.

    npm run build && python3 test/pytorch/check_pytorch.py [--device cuda]

Prints for each structure the largest error, relative to the largest element, and ends with status 1 where one is above the bound.
"""
import argparse
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from load_in_pytorch import read_safetensors  # noqa: E402

MLBTC = ["node", str(ROOT / "dist/experiments/mlbtc.js")]
OPEN = 3  # of a batch that nothing binds
BOUND = 1e-4  # of f32, through normalisations and their gradients


def mlbtc(*words):
    done = subprocess.run([*MLBTC, *words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"mlbtc {' '.join(words)}\n{done.stdout}{done.stderr}")


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        content = bytes(tensor.detach().reshape(-1).contiguous().view(torch.uint8).tolist())
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def check(name, sizes, folder, device):
    """The largest relative error of an output or a gradient."""
    source = str(ROOT / "experiments/structures" / f"{name}.mlbtc")
    bound = [word for size, value in sizes.items() for word in ("-s", f"{size}={json.dumps(value, separators=(',', ':'))}")]
    module = folder / f"{name}.py"
    mlbtc("export", source, "--to", "pytorch", *bound, "--out", str(module))
    spec = importlib.util.spec_from_file_location(name, module)
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    model = getattr(code, re.search(r"^class (\w+)", module.read_text(), re.M)[1])()
    for param in model.parameters():
        torch.nn.init.normal_(param)
    section = re.search(r"^Inputs\n((?:    .*\n)+)", module.read_text(), re.M)[1]
    inputs = {}
    for line in section.splitlines():
        input_name, shape = re.fullmatch(r"\s+(\w+): f32 \[(.*)\]", line).groups()
        extents = [int(e) if e.isdigit() else OPEN for e in shape.split(", ")]
        inputs[input_name] = torch.randn(extents)
    outputs = model(**inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    names = re.search(r"^Outputs\n((?:    .*\n)+)", module.read_text(), re.M)[1]
    names = [line.split(":")[0].strip() for line in names.splitlines()]
    cotangents = {f"cot.{n}": torch.randn(o.shape) for n, o in zip(names, outputs)}
    params = dict(model.named_parameters())
    write_safetensors(folder / "in.safetensors", {**inputs, **params, **cotangents})
    mlbtc("run", source, *bound, "--vjp", "--in", str(folder / "in.safetensors"), "--out", str(folder / "out.safetensors"))
    expected = read_safetensors(folder / "out.safetensors")[0]

    model.to(device)
    given = {n: x.to(device).requires_grad_() for n, x in inputs.items()}
    found = model(**given)
    found = found if isinstance(found, tuple) else (found,)
    loss = sum((o * c.to(device)).sum() for o, c in zip(found, cotangents.values()))
    wrt = {**given, **dict(model.named_parameters())}
    gradients = torch.autograd.grad(loss, list(wrt.values()), allow_unused=True)
    result = {**dict(zip(names, found)), **{f"grad.{n}": g for n, g in zip(wrt, gradients)}}
    largest = max(x.abs().max().item() for n, x in expected.items() if n.startswith("grad."))
    errors = {}
    for key, value in expected.items():
        ours = torch.zeros_like(value) if result[key] is None else result[key].detach().cpu()
        # A gradient that is zero but for rounding is measured beside the others.
        size = max(value.abs().max().item(), 1e-3 * largest if key.startswith("grad.") else 1e-30)
        errors[key] = ((ours - value).abs().max() / size).item()
    return max(errors.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    structures = json.loads((ROOT / "test/pytorch/structures.json").read_text())
    failed = 0
    for name, sizes in structures.items():
        with tempfile.TemporaryDirectory() as folder:
            error = check(name, sizes, pathlib.Path(folder), args.device)
        failed += not error < BOUND
        print(f"{name:24} {error:.1e}{'' if error < BOUND else '  too large'}", flush=True)
    print("ok" if failed == 0 else f"{failed} of {len(structures)} too far apart")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
