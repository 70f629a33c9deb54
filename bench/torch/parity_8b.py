"""What bench/parity-8b.ts follows: 20 steps of QLoRA at Llama-3.1-8B shapes in PyTorch, with all that they start from.

    python3 bench/torch/parity_8b.py DIR [--layers 32] [--rows 4] [--seq 2048] [--steps 20] [--tiny]

Writes DIR/model (a bnb-4bit checkpoint of random weights), DIR/adapter (PEFT, A and B both random), DIR/parity.json
(rates, sizes and versions) and DIR/expected.safetensors: `input_ids` [steps, rows, seq], `losses` [steps] of the bf16
run, and of the first step `grad.NAME` in bf16 as it trains and `exact.NAME` computed in f32 throughout, before clipping.
"""

import argparse
import json
import os
import time
import traceback

import torch
from safetensors.torch import save_file

from llama_8b import adapt, build, config_of
from train_8b import optimizer_of, versions


def tokens_of(args, vocabulary):
    """Text with something to learn: a token's successor is fixed in half of the places, else one of few."""
    generator = torch.Generator().manual_seed(5)
    few = torch.randperm(vocabulary, generator=generator)[: max(16, vocabulary // 64)]
    successor = torch.randint(0, len(few), (len(few),), generator=generator)
    lines = args.steps * args.rows
    index = torch.randint(0, len(few), (lines,), generator=generator)
    columns = []
    for _ in range(args.seq):
        columns.append(few[index])
        fresh = torch.randint(0, len(few), (lines,), generator=generator)
        index = torch.where(torch.rand(lines, generator=generator) < 0.5, successor[index], fresh)
    return torch.stack(columns, 1).view(args.steps, args.rows, args.seq)


def save_model(model, config, directory):
    os.makedirs(directory, exist_ok=True)
    fields = config.to_dict()
    fields["quantization_config"] = dict(
        quant_method="bitsandbytes",
        load_in_4bit=True,
        load_in_8bit=False,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype="bfloat16",
        bnb_4bit_quant_storage="uint8",
    )
    fields["architectures"] = ["LlamaForCausalLM"]
    with open(os.path.join(directory, "config.json"), "w") as file:
        json.dump(fields, file, indent=1, default=str)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, os.path.join(directory, "model.safetensors"), metadata={"format": "pt"})


def trained_of(model):
    """Trained tensors by the names that PEFT saves them under."""
    return {name.replace(".default.", "."): p for name, p in model.named_parameters() if p.requires_grad}


def loss_of(model, ids):
    return model(input_ids=ids, labels=ids).loss


def gradients(model, ids, autocast):
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=autocast):
        loss = loss_of(model, ids)
    loss.backward()
    taken = {name: p.grad.float().cpu() for name, p in trained_of(model).items()}
    model.zero_grad(set_to_none=True)
    return loss.item(), taken


def set_dtype(linear, dtype):
    """The dtype of an NF4 layer's products and of its unpacked weights."""
    linear.compute_dtype = dtype
    linear.weight.quant_state.dtype = dtype


def exact_gradients(model, ids):
    """The first step's gradients in f32: dense weights are widened, NF4 weights unpacked to f32."""
    import bitsandbytes as bnb

    torch.backends.cuda.matmul.allow_tf32 = False
    restore = []
    try:
        for parameter in model.parameters():
            if parameter.dtype == torch.bfloat16:
                parameter.data = parameter.data.float()
                restore.append(lambda p=parameter: setattr(p, "data", p.data.bfloat16()))
        for module in model.modules():
            if isinstance(module, bnb.nn.Linear4bit):
                set_dtype(module, torch.float32)
                restore.append(lambda m=module: set_dtype(m, torch.bfloat16))
        return gradients(model, ids, autocast=False)
    finally:
        for undo in restore:
            undo()
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--seq", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--tiny", action="store_true", help="small widths, for a quick trial")
    args = parser.parse_args()
    print(versions())
    began = time.perf_counter()

    def tell(text):
        print(f"{time.perf_counter() - began:6.1f} s  {text}", flush=True)

    config = config_of(args.layers, args.tiny)
    base = build(config)
    tell("built")
    save_model(base, config, os.path.join(args.directory, "model"))
    tell("saved the model")
    model = adapt(base, args.rank)
    torch.manual_seed(7)
    trained = trained_of(model)
    with torch.no_grad():
        for name, parameter in trained.items():
            if ".lora_B." in name:
                # Some per cent of the frozen product; from zero, half of the gradients would be zero.
                parameter.normal_(0, 0.005)
    model.save_pretrained(os.path.join(args.directory, "adapter"), save_embedding_layers=False)
    tell("saved the adapter")
    tokens = tokens_of(args, config.vocab_size)
    expected = {"input_ids": tokens.to(torch.int32)}
    first = tokens[0].cuda()
    try:
        loss, exact = exact_gradients(model, first)
        expected.update({f"exact.{name}": value for name, value in exact.items()})
        tell(f"gradients in f32, loss {loss:.5f}")
    except Exception:  # They only tell whose rounding a difference is.
        traceback.print_exc()
        model.zero_grad(set_to_none=True)
    loss, taken = gradients(model, first, autocast=True)
    expected.update({f"grad.{name}": value for name, value in taken.items()})
    tell(f"gradients in bf16, loss {loss:.5f}")
    optimizer = optimizer_of(list(trained.values()))
    for group in optimizer.param_groups:
        group["lr"] = args.lr
    losses, norms = [], []
    for step in range(args.steps):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = loss_of(model, tokens[step].cuda())
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0).item())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    tell(f"losses {losses}")
    expected["losses"] = torch.tensor(losses)
    save_file({name: value.contiguous().cpu() for name, value in expected.items()}, os.path.join(args.directory, "expected.safetensors"))
    with open(os.path.join(args.directory, "parity.json"), "w") as file:
        meta = dict(lr=args.lr, max_grad_norm=1.0, grad_norms=norms, versions=versions(), options=vars(args))
        json.dump(meta, file, indent=1)
    tell("done")


if __name__ == "__main__":
    main()
