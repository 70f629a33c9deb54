"""QLoRA training of Llama-3.1-8B shapes with transformers, PEFT and bitsandbytes: what bench/8b.ts is compared with.

    python3 bench/torch/train_8b.py --json FILE [--mode qlora|lora] [--rows 4] [--seq 2048] [--layers 32] [--steps 8]
        [--warmup 2] [--rank 16] [--tiny]

Random weights made on the GPU; rsLoRA with r = 16 on seven modules, bf16 autocast, SDPA attention, gradient
checkpointing, bitsandbytes' 8-bit AdamW, gradients clipped to norm 1. Nothing is upcast to f32 that training does not
need: this is the fast way to set it up. FILE also says which versions were used (`versions`), and with what options.
"""

import argparse
import json
import statistics
import time
import traceback

import torch

from llama_8b import adapt, build, config_of


def measure(args):
    torch.backends.cuda.matmul.allow_tf32 = True
    config = config_of(args.layers, args.tiny)
    began = time.perf_counter()
    model = adapt(build(config, four_bit=args.mode == "qlora"), args.rank)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(trained)
    torch.cuda.synchronize()
    weights = torch.cuda.memory_allocated()
    print(f"built in {time.perf_counter() - began:.1f} s, {weights / 1e9:.2f} GB, {sum(p.numel() for p in trained)} trained")
    torch.cuda.reset_peak_memory_stats()
    seconds, losses = [], []
    for step in range(args.warmup + args.steps):
        ids = torch.randint(0, config.vocab_size, (args.rows, args.seq), device="cuda")
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        torch.cuda.synchronize()
        if step >= args.warmup:
            seconds.append(time.perf_counter() - start)
    tokens = args.rows * args.seq
    return {
        "tokensPerSecond": tokens / statistics.median(seconds),
        "seconds": seconds,
        "losses": losses,
        "tokens": tokens,
        "builtBytes": weights,
        "peakBytes": torch.cuda.max_memory_allocated(),
        "reservedBytes": torch.cuda.max_memory_reserved(),
        "optimizer": type(optimizer).__module__ + "." + type(optimizer).__name__,
    }


def optimizer_of(trained):
    try:
        import bitsandbytes as bnb

        return bnb.optim.AdamW8bit(trained, lr=1e-4)
    except Exception:  # Only the 8-bit optimiser is missing then from the comparison, not the whole run.
        traceback.print_exc()
        return torch.optim.AdamW(trained, lr=1e-4, fused=True)


def versions():
    """What this runs on: printed, and part of every JSON file. A package that cannot be imported says why."""
    found = {"torch": torch.__version__, "device": torch.cuda.get_device_name(0)}
    for name in ["transformers", "peft", "bitsandbytes"]:
        try:
            found[name] = __import__(name).__version__
        except Exception as error:
            found[name] = f"missing: {error}"
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["qlora", "lora"], default="qlora")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--seq", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--tiny", action="store_true", help="small widths, for a quick trial")
    parser.add_argument("--json")
    args = parser.parse_args()
    report = {"options": vars(args), "versions": versions()}
    print(report["versions"])
    try:
        report.update(measure(args))
        print(
            f"{args.mode}: {report['tokensPerSecond']:.0f} tok/s, peak {report['peakBytes'] / 1e9:.2f} GB"
            f" (reserved {report['reservedBytes'] / 1e9:.2f} GB), losses {report['losses']}"
        )
    except Exception:
        report["error"] = traceback.format_exc()
        print(report["error"])
    if args.json:
        with open(args.json, "w") as file:
            json.dump(report, file, indent=1)
    raise SystemExit(1 if "error" in report else 0)


if __name__ == "__main__":
    main()
