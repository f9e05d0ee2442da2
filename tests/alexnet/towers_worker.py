"""One process of a small distributed network: five steps on given batches, then its weights to a file.

torchrun's variables; arguments: folder with `batches.safetensors`, network options as JSON, output
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from alexnet_pipeline.alexnet.network import AlexNet, options_from_json
from alexnet_pipeline.alexnet.processes import Place, take_place
from alexnet_pipeline.alexnet.recipe import PAPER
from alexnet_pipeline.alexnet.update import backward, make_optimiser, momentum, set_learning_rate

# Small enough that five steps on pictures of noise do not diverge, which would make rounding grow.
RATES = (1e-6, 1e-6, 1e-6, 5e-7, 5e-7)


def five_steps(place: Place, options: dict, batches: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Forward scores, gradients of the first step, weights and momentum after five."""
    model = AlexNet(options_from_json(options), place.exchange, seed=3).double()
    optimiser = make_optimiser(model, PAPER)
    module = DistributedDataParallel(model, process_group=place.replicas) if place.replicas else model
    replica = place.rank // 2 if place.replicas else 0
    found: dict[str, torch.Tensor] = {}
    for step, rate in enumerate(RATES):
        set_learning_rate(optimiser, rate)
        images, labels = (batches[f"{kind}-{step}"] for kind in ("images", "labels"))
        mine = slice(replica * len(labels) // place.replica_count, (replica + 1) * len(labels) // place.replica_count)
        optimiser.zero_grad()
        scores = module(images[mine])
        backward(scores, labels[mine], len(labels), place)
        if step == 0:
            found["scores"] = scores.detach()
            for name, parameters in model.parameters_by_name().items():
                found[f"gradient-{name}"] = model.exchange.rows([p.grad for p in parameters])
        optimiser.step()
    for name, parts in model.local_state().items():
        found[f"weight-{name}"] = model.exchange.rows(parts)
    return found | {f"momentum-{name}": value for name, value in momentum(model, optimiser).items()}


def main() -> None:
    """Join the others."""
    folder, options, out = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    with take_place("distributed", "cpu", 60) as place:
        found = five_steps(place, options, load_file(folder / "batches.safetensors"))
        if place.leads:
            save_file({name: value.contiguous() for name, value in found.items()}, out)


if __name__ == "__main__":
    main()
