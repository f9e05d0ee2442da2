"""One process of a small network in several: five steps on given batches, then its weights to a file.

torchrun's variables; arguments: where towers run, folder with `batches.safetensors`, network options as JSON, output
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.optimizer import backward, make_optimizer, momentum, set_learning_rate
from alexnet_pipeline.alexnet.processes import Process, join
from alexnet_pipeline.alexnet.recipe import PAPER, NetworkOptions
from alexnet_pipeline.records import from_json

# Small enough that five steps on images of noise do not diverge, which would make rounding grow.
RATES = (1e-6, 1e-6, 1e-6, 5e-7, 5e-7)


def five_steps(process: Process, options: NetworkOptions, batches: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Forward scores, gradients of the first step, weights and momentum after five."""
    model = AlexNet(options, process.exchange, seed=3).double()
    optimizer = make_optimizer(model, PAPER)
    module = DistributedDataParallel(model, process_group=process.replicas) if process.replicas else model
    replica = process.rank * process.replica_count // process.world
    found: dict[str, torch.Tensor] = {}
    for step, rate in enumerate(RATES):
        set_learning_rate(optimizer, rate)
        images, labels = (batches[f"{kind}-{step}"] for kind in ("images", "labels"))
        mine = slice(
            replica * len(labels) // process.replica_count, (replica + 1) * len(labels) // process.replica_count
        )
        optimizer.zero_grad()
        scores = module(images[mine])
        backward(scores, labels[mine], len(labels), process)
        if step == 0:
            found["scores"] = scores.detach()
            for name, parameters in model.parameters_by_name().items():
                found[f"gradient-{name}"] = model.exchange.rows([p.grad for p in parameters])
        optimizer.step()
    for name, parts in model.local_state().items():
        found[f"weight-{name}"] = model.exchange.rows(parts)
    return found | {f"momentum-{name}": value for name, value in momentum(model, optimizer).items()}


def main() -> None:
    """Join the others."""
    towers, folder, options, out = sys.argv[1:]
    torch.set_num_threads(1)
    with join(towers, "cpu", 60) as process:
        batches = load_file(Path(folder) / "batches.safetensors")
        found = five_steps(process, from_json(options.encode(), NetworkOptions), batches)
        if process.leads:
            save_file({name: value.contiguous() for name, value in found.items()}, out)


if __name__ == "__main__":
    main()
