"""PyTorch programs that train the same classifier on the same rows, for benchmarks/fine_tuning.py.

    python peers_fine_tuning.py "sdpa bfloat16"

`eager`, `sdpa`: the ALBERT of transformers with that attention implementation, AdamW, two threads
or as many as there are cores, and batches of similar length (the same lengths as the batches of our
command). `hand-tuned bfloat16`: a model of the same sizes written for speed: products in bfloat16,
attention by plain matrix products, tanh GELU, one single-threaded process per core, each with its
share of a batch; their gradients are averaged.
"""

import argparse
import math
import os
import sys
import time

# Spawned processes have the project's folder first in sys.path, which also has a fine_tuning.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import fine_tuning
import measuring
import torch
from torch import distributed, nn
from torch.nn import functional

LEARNING_RATE = 1e-4
BATCH = 64
LENGTH_MULTIPLE = 4
VOCAB, WIDTH, HIDDEN, LAYERS, HEADS, INNER = 21128, 128, 312, 4, 12, 1248


def batches(share=slice(None)):
    """(ids, mask, segments, labels) of the batches of an epoch, bucketed by length."""
    lengths = sorted(fine_tuning.row_lengths(fine_tuning.Way()))
    generator = torch.Generator().manual_seed(2)
    for start in range(0, len(lengths), BATCH):
        of_batch = torch.tensor(lengths[start : start + BATCH])
        width = -(-int(of_batch.max()) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        mask = (torch.arange(width)[None] < of_batch[:, None]).long()
        ids = torch.randint(fine_tuning.SPECIAL_IDS, VOCAB, mask.shape, generator=generator) * mask
        segments = mask * (torch.arange(width)[None] >= of_batch[:, None] // 2)
        labels = torch.randint(0, 2, [BATCH], generator=generator)
        yield [values[share] for values in (ids, mask, segments, labels)]


def transformers_step(attention, precision):
    """The function that trains transformers' ALBERT on a batch."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = transformers.AlbertConfig(
        vocab_size=VOCAB,
        embedding_size=WIDTH,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.1,
        attn_implementation=attention,
    )
    model = transformers.AlbertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)

    def step(ids, mask, segments, labels):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model(ids, mask, segments, labels=labels).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


class HandTuned(nn.Module):
    """ALBERT's classifier without anything that costs time and can be omitted."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(VOCAB, WIDTH), nn.Embedding(512, HIDDEN)
        self.kinds, self.widen = nn.Embedding(2, HIDDEN), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.joint, self.out = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.ffn_in, self.ffn_out = nn.Linear(HIDDEN, INNER), nn.Linear(INNER, HIDDEN)
        self.norms = nn.ModuleList(nn.LayerNorm(HIDDEN) for _ in range(3))
        self.pooler, self.classify = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 2)

    def forward(self, ids, mask, segments):
        """Three int tensors [B, F] -> logits [B, 2]."""
        batch, length = ids.shape
        x = self.widen(self.words(ids)) + self.kinds(segments) + self.places.weight[:length]
        x = self.norms[0](x)
        hidden = (1.0 - mask[:, None, None].float()) * -10000.0
        for _ in range(LAYERS):
            parts = self.joint(x).view(batch, length, 3, HEADS, HIDDEN // HEADS)
            query, key, value = parts.permute(2, 0, 3, 1, 4)
            scores = query @ key.transpose(-1, -2) / math.sqrt(HIDDEN // HEADS)
            weights = torch.softmax(scores.float() + hidden, -1).to(value.dtype)
            context = (weights @ value).transpose(1, 2).reshape(batch, length, HIDDEN)
            x = self.norms[1](x + self.out(context))
            inner = functional.gelu(self.ffn_in(x), approximate="tanh")
            x = self.norms[2](x + self.ffn_out(inner))
        return self.classify(torch.tanh(self.pooler(x[:, 0])))


def hand_tuned_step():
    """The function that trains `HandTuned` on this process's share of a batch."""
    torch.manual_seed(1)
    model = HandTuned().train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01, fused=True)

    def step(ids, mask, segments, labels):
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(ids, mask, segments).float(), labels)
        loss.backward()
        if distributed.get_world_size() > 1:
            flat = torch.cat([p.grad.reshape(-1) for p in parameters])
            distributed.all_reduce(flat)
            flat /= distributed.get_world_size()
            offset = 0
            for p in parameters:
                p.grad.copy_(flat[offset : offset + p.numel()].view_as(p))
                offset += p.numel()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def turn_of(step, share=slice(None)):
    """The function that trains an epoch and returns the seconds per row."""
    rows = list(batches(share))

    def turn():
        begin = time.time()
        for batch in rows:
            step(*batch)
        return (time.time() - begin) / (len(rows) * BATCH)

    return turn


def hand_tuned_process(rank, size, port):
    """One of the processes that share each batch; the first one answers requests for turns."""
    torch.set_num_threads(1)
    address = "tcp://127.0.0.1:%d" % port
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
    turn = turn_of(hand_tuned_step(), slice(rank * BATCH // size, (rank + 1) * BATCH // size))
    go_on = torch.ones(1)

    def together():
        distributed.broadcast(go_on, 0)
        return turn()

    if rank == 0:
        measuring.serve_turns(together)
        go_on.zero_()
        distributed.broadcast(go_on, 0)
        return
    while True:
        distributed.broadcast(go_on, 0)
        if not go_on.item():
            return
        turn()


def main():
    """Answers requests for turns with the program that the argument names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("peer", choices=fine_tuning.PEERS, help="program to run")
    kind, precision = parser.parse_args().peer.split()
    if kind != "hand-tuned":
        torch.set_num_threads(measuring.num_cores())
        measuring.serve_turns(turn_of(transformers_step(kind, precision)))
        return
    size, port = measuring.num_cores(), 20000 + os.getpid() % 20000
    others = [
        torch.multiprocessing.get_context("spawn").Process(
            target=hand_tuned_process, args=(rank, size, port)
        )
        for rank in range(1, size)
    ]
    for process in others:
        process.start()
    hand_tuned_process(0, size, port)


if __name__ == "__main__":
    main()
