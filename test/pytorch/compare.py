"""Runs the modules of `modules.test.ts` in float64 and prints, a JSON line each, outputs and gradients under their names."""
import importlib.util
import json
import sys

import torch

torch.set_default_dtype(torch.float64)


def tensor(value, dtype=None):
    return torch.tensor(value["data"], dtype=dtype).reshape(value["shape"])


for line in sys.stdin:
    case = json.loads(line)
    spec = importlib.util.spec_from_file_location(case["name"], case["path"])
    code = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(code)
        model = getattr(code, case["class"])()
        model.load_state_dict({k: tensor(v) for k, v in case["params"].items()}, strict=True)
        for param in model.parameters():
            param.requires_grad_(True)
        inputs = []
        for value in case["inputs"]:
            inputs.append(tensor(value, torch.int32 if value["integer"] else torch.float64))
            inputs[-1].requires_grad_(not value["integer"])
        outputs = model(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = sum((output * tensor(c)).sum() for output, c in zip(outputs, case["cotangents"]) if output.is_floating_point())
        named = [*zip(case["inputNames"], inputs), *model.named_parameters()]
        names, wrt = zip(*[(name, x) for name, x in named if x.is_floating_point()]) if named else ((), ())
        depends = isinstance(loss, torch.Tensor) and loss.requires_grad
        found = torch.autograd.grad(loss, wrt, allow_unused=True) if depends else [None] * len(wrt)
        result = {
            "outputs": [o.detach().flatten().tolist() for o in outputs],
            "shapes": [list(o.shape) for o in outputs],
            "gradients": {n: (torch.zeros_like(x) if g is None else g).flatten().tolist() for n, x, g in zip(names, wrt, found)},
        }
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"name": case["name"], **result}), flush=True)
