#!/usr/bin/env python3
"""Writes tests/data/training.json: what PyTorch makes of labels, losses, gradients and AdamW's steps, in double precision.

Run with the interpreter of scripts/python_env.sh. Inputs are rounded to f32 first, so that both sides start from the same numbers.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

OUT = Path(__file__).resolve().parents[1] / "data/training.json"


def values(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().double().flatten().tolist()]


def draw(generator, *shape, scale=1.0):
    return (torch.randn(*shape, generator=generator) * scale).float().double()


def labels():
    """Rows of two questions over a document; grouped heads; both kinds of label."""
    g = torch.Generator().manual_seed(1)
    n_tokens, n_heads, n_kv_heads, dim, floor = 37, 6, 2, 8, -4.0
    questions = [{"n_rows": 5, "n_label_rows": 3}, {"n_rows": 9, "n_label_rows": 8}, {"n_rows": 1, "n_label_rows": 1}]
    keys = draw(g, n_tokens, n_kv_heads, dim)
    n_rows = sum(q["n_rows"] for q in questions)
    own_keys = draw(g, n_rows, n_kv_heads, dim)
    queries = draw(g, n_rows, n_heads, dim)
    scale = 1 / math.sqrt(dim)
    logits, logprobs, label_queries = [], [], []
    first = 0
    for question in questions:
        n = question["n_rows"]
        row_keys = torch.cat([keys, own_keys[first : first + n]]).repeat_interleave(n_heads // n_kv_heads, dim=1)
        scores = torch.einsum("rhd,khd->hrk", queries[first : first + n], row_keys) * scale
        hidden = torch.ones(n, n).triu(1).bool()
        scores[:, :, n_tokens:] = scores[:, :, n_tokens:].masked_fill(hidden, -torch.inf)
        asked = slice(n - question["n_label_rows"], n)
        logits.append(scores[:, asked, :n_tokens])
        logprobs.append(scores.log_softmax(-1)[:, asked, :n_tokens])
        label_queries.append(queries[first : first + n][asked])
        first += n

    def per_kv_head(rows):
        best = torch.cat(rows, dim=1).amax(1)  # (n_heads, n_tokens)
        return best.view(n_kv_heads, n_heads // n_kv_heads, n_tokens).amax(1).T

    return {"n_tokens": n_tokens, "n_heads": n_heads, "n_kv_heads": n_kv_heads, "head_dim": dim, "scale": scale, "floor": floor,
            "questions": questions, "keys": values(keys), "question_keys": values(own_keys), "queries": values(torch.cat(label_queries)),
            "logit_max": values(per_kv_head(logits)), "logprob_max": values(per_kv_head(logprobs).clamp_min(floor))}


def learn(name, parameters, forward, loss_of, inputs, targets, n_unlabelled):
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    scores = forward(inputs)
    loss = loss_of(scores)
    loss.backward()
    return {"case": name, "n_rows": inputs.shape[0], "n_unlabelled": n_unlabelled, "inputs": values(inputs), "labels": values(targets),
            "parameters": {k: values(v) for k, v in parameters.items()}, "scores": values(scores), "loss": loss.item(),
            "gradients": {k: values(v.grad) for k, v in parameters.items()}}


# The model that the tests tell the plugins of: n_heads 4, n_kv_heads 2, head_dim 4, n_embd 24.
N_QKV, N_EMBD, N_OUT = (4 + 2 * 2) * 4, 24, 2


def locret(name, activation, seed, smoothing=0.3, d_r=5, n_rows=13, n_unlabelled=4):
    g = torch.Generator().manual_seed(seed)
    parameters = {"w1": draw(g, d_r, N_QKV, scale=0.4), "w2": draw(g, N_OUT, d_r, scale=1.5)}
    inputs, targets = draw(g, n_rows, N_QKV), draw(g, n_rows, N_OUT, scale=2)

    def loss_of(scores):
        fit = F.smooth_l1_loss(scores[n_unlabelled:], targets[n_unlabelled:])
        return fit + smoothing * F.mse_loss(scores[1:], scores[:-1])

    return {"plugin": "locret", "settings": {"d_r": d_r, "smoothing": smoothing},
            **learn(name, parameters, lambda x: activation(x @ parameters["w1"].T) @ parameters["w2"].T, loss_of, inputs, targets, n_unlabelled)}


def kvzap(name, surrogate, seed, n_rows=11, n_unlabelled=2):
    g = torch.Generator().manual_seed(seed)
    n_first = N_EMBD // 8 if surrogate == "mlp" else N_OUT
    parameters = {"w1": draw(g, n_first, N_EMBD, scale=0.3), "b1": draw(g, n_first)}
    if surrogate == "mlp":
        parameters |= {"w2": draw(g, N_OUT, n_first), "b2": draw(g, N_OUT)}
    inputs, targets = draw(g, n_rows, N_EMBD), draw(g, n_rows, N_OUT, scale=2)

    def forward(x):
        first = x @ parameters["w1"].T + parameters["b1"]
        return F.gelu(first, approximate="tanh") @ parameters["w2"].T + parameters["b2"] if surrogate == "mlp" else first

    return {"plugin": "kvzap", "settings": {"surrogate": surrogate},
            **learn(name, parameters, forward, lambda s: F.mse_loss(s[n_unlabelled:], targets[n_unlabelled:]), inputs, targets, n_unlabelled)}


def adamw():
    """Ten steps of torch.optim.AdamW with clipped gradients and a learning rate that changes."""
    g = torch.Generator().manual_seed(5)
    start = draw(g, 19)
    parameter = torch.nn.Parameter(start.clone())
    settings = {"beta1": 0.9, "beta2": 0.95, "weight_decay": 0.05, "value_clip": 0.5}
    optimiser = torch.optim.AdamW([parameter], lr=1.0, betas=(0.9, 0.95), weight_decay=0.05, eps=1e-8)
    steps = []
    for step in range(10):
        rate = 0.01 * (step + 1)
        gradient = draw(g, 19)
        parameter.grad = gradient.clone()
        torch.nn.utils.clip_grad_value_([parameter], settings["value_clip"])
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        steps.append({"learning_rate": rate, "gradient": values(gradient), "after": values(parameter)})
    return {**settings, "start": values(start), "steps": steps}


def main():
    networks = [locret("silu", F.silu, 2), locret("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), 3),
                locret("silu, all rows labelled", F.silu, 4, n_unlabelled=0), kvzap("mlp", "mlp", 6), kvzap("linear", "linear", 7)]
    OUT.write_text(json.dumps({"labels": labels(), "networks": networks, "adamw": adamw()}, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
