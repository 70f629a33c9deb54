"""Llama-3.1-8B shapes with random weights in transformers, quantised by bitsandbytes, with PEFT's adapters."""

import torch

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config_of(layers, tiny=False):
    """The configuration; ``tiny`` shrinks widths and vocabulary for a quick trial."""
    from transformers import LlamaConfig

    wide = dict(hidden_size=4096, intermediate_size=14336, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256)
    small = dict(hidden_size=256, intermediate_size=896, num_attention_heads=8, num_key_value_heads=2, vocab_size=1024)
    return LlamaConfig(
        **(small if tiny else wide),
        num_hidden_layers=layers,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        rope_parameters=dict(
            rope_type="llama3",
            rope_theta=500000.0,
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=8192,
        ),
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        use_cache=False,
        attn_implementation="sdpa",
    )


def build(config, four_bit=True, seed=0):
    """A model on the GPU in bf16, its blocks in NF4 with double quantisation if wanted; no download, no host copy."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    # Writes to the residual stream are smaller, so that its size does not grow with the depth (as in GPT-2).
    residual = 0.02 / (2 * config.num_hidden_layers) ** 0.5
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.fill_(1)
            else:
                weight.normal_(0, residual if "o_proj" in name or "down_proj" in name else 0.02)
    if four_bit:
        quantise(model)
    model.requires_grad_(False)
    torch.cuda.empty_cache()
    return model


def quantise(model):
    """Replaces the linear layers of the blocks one at a time."""
    import bitsandbytes as bnb

    for layer in model.model.layers:
        for module in [layer.self_attn, layer.mlp]:
            for name, linear in list(module.named_children()):
                if not isinstance(linear, torch.nn.Linear):
                    continue
                new = bnb.nn.Linear4bit(
                    linear.in_features,
                    linear.out_features,
                    bias=False,
                    compute_dtype=torch.bfloat16,
                    compress_statistics=True,
                    quant_type="nf4",
                    device="meta",
                )
                new.weight = bnb.nn.Params4bit(
                    linear.weight.data,
                    requires_grad=False,
                    compress_statistics=True,
                    quant_type="nf4",
                    module=new,
                ).to("cuda")
                setattr(module, name, new)
                del linear
    model.is_loaded_in_4bit = True


def adapt(model, rank):
    """rsLoRA on the seven linear modules, ready for training with gradient checkpointing."""
    from peft import LoraConfig, get_peft_model

    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        use_rslora=True,
        lora_dropout=0.0,
        bias="none",
        target_modules=MODULES,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    adapted.train()
    return adapted
