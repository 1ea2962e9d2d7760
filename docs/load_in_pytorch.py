"""Loads what `mlbtc export RUN --to reference` writes into the paper's own classes, every name and shape checked (strict=True).

    python3 docs/load_in_pytorch.py FILE --code FOLDER [--case tensors.safetensors]

FOLDER is a clone of the paper's repository (https://github.com/YilunKuang/structured-attention), or one with a `model.py` that has
`Cfg` and `Transformer` under the same names of parameters. With --case the model is run on the inputs in that file (`xs`, `ys`;
`tokens`; `x`) and held to the outputs there (`pred` or `logits`), without it on numbers drawn here. Prints one line that ends in `ok`.
"""
import argparse
import dataclasses
import importlib
import json
import sys

import torch

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "I32": torch.int32}


def read_safetensors(path):
    """Tensors by name, and the metadata. (The package `safetensors` does the same.)"""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data[begin:end], dtype=DTYPES[entry["dtype"]]) if end > begin else torch.empty(0)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata


def build(config, folder):
    """The paper's model of this configuration."""
    sys.path.insert(0, folder)
    try:
        module, config_class, model_class = {
            "icl": ("src.models.icl_models", "GPTforICLRegressionConfig", "GPTforICLRegression"),
            "lm": ("src.model", "GPTConfig", "GPT"),
            "ts": ("src.models.time_series_models", "GPTforTimeSeriesConfig", "GPTforTimeSeries"),
        }[config["kind"]]
        code = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "src":
            raise
        code, config_class, model_class = importlib.import_module("model"), "Cfg", "Transformer"
    config_class = getattr(code, config_class)
    known = {field.name for field in dataclasses.fields(config_class)}
    return getattr(code, model_class)(config_class(**{k: v for k, v in config.items() if k in known}))


def drawn(config):
    """Inputs of the right shapes."""
    torch.manual_seed(0)
    length = config["block_size"]
    if config["kind"] == "icl":
        return {"xs": torch.randn(2, length // 2, config["n_dims"]), "ys": torch.randn(2, length // 2)}
    if config["kind"] == "lm":
        return {"tokens": torch.randint(config["vocab_size"], (2, length))}
    return {"x": torch.randn(2, length, 1)}


def run(model, config, given):
    if config["kind"] == "icl":
        return model(given["xs"], given["ys"])
    if config["kind"] == "lm":
        tokens = given["tokens"].long()
        # The paper's own gives the logits of every position only where it is also given targets.
        try:
            found = model(tokens, tokens)
        except TypeError:
            found = model(tokens)
        return found[0] if isinstance(found, tuple) else found
    return model(given["x"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--code", required=True, metavar="FOLDER")
    parser.add_argument("--case", metavar="FILE")
    args = parser.parse_args()

    state, metadata = read_safetensors(args.file)
    if "config" not in metadata:
        sys.exit(f"{args.file} does not say which model it is of: write it with `mlbtc export RUN --to reference`")
    config = json.loads(metadata["config"])
    model = build(config, args.code).eval()
    # Masks that the paper's modules keep as buffers follow from the configuration, and are no parameters.
    trained = dict(model.named_parameters())
    masks = {name: value for name, value in model.state_dict().items() if name not in trained}
    model.load_state_dict({**masks, **state}, strict=True)

    given = read_safetensors(args.case)[0] if args.case else drawn(config)
    with torch.no_grad():
        found = run(model, config, given)
    line = f"{args.file}: {len(state)} parameters loaded, outputs {tuple(found.shape)}"
    if args.case:
        expected = given["logits" if config["kind"] == "lm" else "pred"]
        error = ((found - expected).norm() / expected.norm()).item()
        line += f", relative error {error:.1e}"
        if not error < 1e-4:
            sys.exit(line + " is too large")
    elif not torch.isfinite(found).all():
        sys.exit(line + ", not finite")
    print(line + ", ok")


if __name__ == "__main__":
    main()
