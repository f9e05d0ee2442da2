"""Data sets and options in, steps, validations and checkpoints out: the loop itself."""

from __future__ import annotations

import dataclasses
import math
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from alexnet_pipeline.alexnet.checkpoint import Checkpoint, newest_path, save_checkpoint
from alexnet_pipeline.alexnet.evaluate import Errors, measure
from alexnet_pipeline.alexnet.exchange import TOWERS
from alexnet_pipeline.alexnet.network import AlexNet, is_shared
from alexnet_pipeline.alexnet.options import TrainOptions, TrainSummary, Watcher
from alexnet_pipeline.alexnet.predict import validation_loader
from alexnet_pipeline.alexnet.processes import Place
from alexnet_pipeline.alexnet.recipe import Recipe, crop_px_of
from alexnet_pipeline.alexnet.run_folder import CHECKPOINTS, Metrics, shards_record, write_run
from alexnet_pipeline.alexnet.schedule import PlateauState, after_epoch, is_over, learning_rate
from alexnet_pipeline.alexnet.snapshot import check_same, plain, random_of_all, set_random, states_of_all
from alexnet_pipeline.alexnet.optimizer import backward, load_momentum, make_optimiser, momentum, set_learning_rate
from alexnet_pipeline.alexnet.window import Stop, Window
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.errors import InterruptedRunError, PipelineError, RefusedError

# Several processes agree on a signal after so many steps, because each agreement waits for the device.
SIGNAL_STEPS = 10


class Trainer:
    """All mutable state of a run."""

    def __init__(
        self,
        train_set: ShardSet,
        val_set: ShardSet | None,
        run: Path,
        recipe: Recipe,
        options: TrainOptions,
        place: Place,
        watcher: Watcher,
    ) -> None:
        self._recipe, self._options, self._place, self._watcher = recipe, options, place, watcher
        self._folder = run
        self._network_options = recipe.network(
            len(train_set.manifest.classes), crop_px_of(recipe, train_set.manifest.options.size_px)
        )
        self._bf16 = options.precision == "bf16" or (options.precision == "auto" and place.device.type == "cuda")
        self.stop = Stop()
        model = AlexNet(self._network_options, place.exchange, options.seed)
        self._model = model
        if options.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimiser = make_optimiser(self._model, recipe)
        self._forward = self._wrapped()
        torch.manual_seed(options.seed * 1_000_003 + place.rank)  # dropout differs between towers
        self._loader = self._open(train_set)
        self._val_set = val_set
        self._val = (
            validation_loader(val_set, place, crops=1, crop_px=self._network_options.crop_px, mean=self._loader.mean)
            if val_set
            else None
        )
        self._step, self._images, self._rate = 0, 0, recipe.learning_rate
        self._plateau = PlateauState()
        self._total_steps = options.steps or recipe.epochs * len(self._loader)
        self._metrics: Metrics | None = None
        self._loss: float | None = None
        self._errors: Errors | None = None
        self._saved_step = self._validated_step = -1

    def close(self) -> None:
        """Give back decoders and files."""
        self._loader.close()
        if self._val:
            self._val.close()
        if self._metrics:
            self._metrics.close()

    def run(self) -> TrainSummary:
        """Train to the end."""
        if self._place.leads:  # not before: a refused resume must leave the run as it was
            write_run(self._folder, self._run_record(), self._loader.mean)
            self._metrics = Metrics(self._folder, tensorboard=self._options.tensorboard)
        where = f"{self._place.towers} on {self._place.device}"
        self._watcher.begin(self._total_steps, self._step, where)
        while self._step < self._total_steps and not is_over(self._recipe, self._plateau):
            self._epoch()
        if self._val and self._validated_step != self._step:
            self._validate()
        if self._saved_step != self._step:
            self._save()
        if self._place.any_process(self.stop.signal_number != 0):  # one that came after the last step
            raise InterruptedRunError(self.stop.signal_number or int(signal.SIGTERM), "interrupted; training is done")
        path = newest_path(self._folder / CHECKPOINTS)
        return TrainSummary(str(self._folder), self._step, self._images, self._loss, self._errors, str(path))

    def restore(self, found: Checkpoint) -> None:
        """Go on exactly where a checkpoint stands."""
        state = found.state
        check_same(state, self._identity(), found.step)
        self._model.load_grouped(found.weights)
        load_momentum(self._model, self._optimiser, found.momentum, state["learning_rate"])
        self._rate = state["learning_rate"]
        loaders = state["loaders"]
        if len(loaders) != self._place.world:
            if state["steps_into_epoch"]:
                raise RefusedError(
                    f"checkpoint {found.step} was made in mid-epoch by {len(loaders)} processes, this run has "
                    f"{self._place.world}; resume with {len(loaders)}, or from a checkpoint of an epoch's end"
                )
            self._loader.epoch = state["epoch"]
        else:
            self._loader.load_state_dict(loaders[self._place.rank])
            set_random(self._place, found.random)
        self._step = self._saved_step = found.step
        self._images = state["images"]
        self._plateau = PlateauState(**state["plateau"])

    def _epoch(self) -> None:
        """The rest of an epoch, its validation and checkpoint."""
        window = Window(self._place.device)
        batches = iter(self._loader)
        finished = False
        while self._step < self._total_steps:
            asked = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                finished = True
                break
            images, labels = self._shared(*batch)
            window.waited_s += time.perf_counter() - asked
            self._train_step(images, labels, window)
            if self._step % self._options.log_every_steps == 0:
                window = self._log(window)
            if self._step % SIGNAL_STEPS == 0 or self._place.world == 1:
                self._heed_signals(window)
            every = self._options.checkpoint_every_steps
            if every and self._step % every == 0:
                self._check_finite(window)
                self._save()
        self._log(window)
        if finished or self._step % len(self._loader) == 0:
            self._finish_epoch(batches)

    def _finish_epoch(self, batches: Iterator[Any]) -> None:
        next(batches, None)  # lets the loader close its epoch where the last step ended it
        if self._val:
            errors = self._validate()
            self._plateau = after_epoch(self._recipe, self._plateau, errors.top1_error)
        self._save()

    def _train_step(self, images: Tensor, labels: Tensor, window: Window) -> None:
        rate = learning_rate(self._recipe, self._step, len(self._loader), self._total_steps, self._plateau)
        set_learning_rate(self._optimiser, rate)
        self._rate = rate
        self._optimiser.zero_grad(set_to_none=True)
        scores = self._forward(images)
        count = self._recipe.batch_images if self._is_full() else self._count(labels)
        loss_sum = backward(scores, labels, count, self._place)
        self._optimiser.step()
        self._step += 1
        self._images += count
        window.add(loss_sum, scores.detach(), labels, rate)

    def _is_full(self) -> bool:
        """Whether the batch at this step is, in every process: all are but the last of an epoch."""
        return (self._step + 1) % len(self._loader) != 0

    def _count(self, labels: Tensor) -> int:
        """Images of this step in all replicas; waits for the device."""
        counted = (labels >= 0).sum().double()
        return int(self._place.sum_over_replicas(counted))

    def _shared(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        share = self._recipe.batch_images // self._place.world
        images, labels = self._place.exchange.batch(images, labels, share, full=self._is_full())
        if len(labels):
            return images, labels
        # A replica with nothing left at an epoch's end still takes part, with a picture that counts for nothing.
        side = self._network_options.crop_px
        return torch.zeros(1, 3, side, side, device=images.device), labels.new_full((1,), -1)

    def _validate(self) -> Errors:
        assert self._val is not None
        self._errors = errors = measure(self._model, self._val, self._place, self._forward)
        self._validated_step = self._step
        line = {"kind": "evaluation", "split": "val", **dataclasses.asdict(errors), **self._position()}
        self._write_line(line)
        self._watcher.evaluated(line)
        return errors

    def _log(self, window: Window) -> Window:
        if window.steps:
            line = {"kind": "step", **window.line(self._place), **self._position()}
            self._loss = line["loss"]
            self._check_finite_value(self._loss)
            self._write_line(line)
            self._watcher.step(line)
        return Window(self._place.device)

    def _position(self) -> dict[str, Any]:
        return {"step": self._step, "images": self._images, "epoch": self._step / len(self._loader)}

    def _check_finite(self, window: Window) -> None:
        if window.steps:
            self._check_finite_value(window.loss(self._place))

    def _check_finite_value(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise PipelineError(
                f"the loss is {loss} at step {self._step}; the last checkpoint is untouched: resume it with a lower "
                "--learning-rate, or look at the data"
            )

    def _heed_signals(self, window: Window) -> None:
        if not self._place.any_process(self.stop.signal_number != 0):
            return
        self._check_finite(window)
        self._save()
        number = self.stop.signal_number or int(signal.SIGTERM)
        raise InterruptedRunError(number, f"interrupted at step {self._step}; `--resume auto` goes on from there")

    def _save(self) -> None:
        place = self._place
        weights = {
            name: parts[0].cpu() if is_shared(name) else place.exchange.rows(parts)
            for name, parts in self._model.local_state().items()
        }
        checkpoint = Checkpoint(
            step=self._step,
            weights=weights,
            momentum=momentum(self._model, self._optimiser),
            random=random_of_all(place),
            state={
                **self._identity(),
                "images": self._images,
                "picture_px": self._loader.shards.manifest.options.size_px,
                "epoch": self._step // len(self._loader),
                "steps_into_epoch": self._step % len(self._loader),
                "learning_rate": self._rate,
                "plateau": dataclasses.asdict(self._plateau),
                "loaders": states_of_all(place, self._loader.state_dict()),
            },
        )
        if place.leads:
            save_checkpoint(self._folder / CHECKPOINTS, checkpoint, self._options.keep_checkpoints)
        self._saved_step = self._step

    def _identity(self) -> dict[str, Any]:
        """What a resumed run must share."""
        manifest = self._loader.shards.manifest
        return {
            "network": plain(self._network_options),
            "recipe": plain(self._recipe),
            "seed": self._options.seed,
            "total_steps": self._total_steps,
            "classes": list(manifest.classes),
            "train_digest": manifest.digest,
            "precision": "bf16" if self._bf16 else "fp32",
        }

    def _parameter_count(self) -> int:
        """Of both towers."""
        here = sum(parameter.numel() for parameter in self._model.parameters())
        return here * TOWERS // (self._place.exchange.groups * len(self._place.exchange.towers))

    def _open(self, shards: ShardSet) -> Loader:
        recipe, place, options = self._recipe, self._place, self._options
        if recipe.batch_images % place.world:
            raise RefusedError(f"a batch of {recipe.batch_images} images cannot be shared by {place.world} processes")
        return Loader(
            shards,
            batch_size=recipe.batch_images // place.world,
            train=True,
            crop_px=self._network_options.crop_px,
            lighting=recipe.lighting,
            mean=recipe.mean,
            channels_last=options.channels_last,
            device=place.device,
            rank=place.rank,
            world=place.world,
            seed=options.seed,
            threads=options.threads,
        )

    def _wrapped(self) -> Callable[[Tensor], Tensor]:
        module: nn.Module = self._model
        if self._place.replicas:
            module = DistributedDataParallel(module, process_group=self._place.replicas)
        called: Callable[[Tensor], Tensor] = torch.compile(module) if self._options.compile else module
        device = self._place.device.type

        def forward(images: Tensor) -> Tensor:
            with torch.autocast(device, torch.bfloat16) if self._bf16 else nullcontext():
                return called(images)

        return forward

    def _write_line(self, line: dict[str, Any]) -> None:
        if self._metrics:
            self._metrics.append(line)

    def _run_record(self) -> dict[str, Any]:
        train_set, val_set = self._loader.shards, self._val_set
        return {
            "command": self._options.command,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "preset": self._recipe.preset,
            "recipe": plain(self._recipe),
            "network": plain(self._network_options),
            "shards": {"train": shards_record(train_set), "val": val_set and shards_record(val_set)},
            "classes": list(train_set.manifest.classes),
            "towers": self._place.towers,
            "device": str(self._place.device),
            "precision": "bf16" if self._bf16 else "fp32",
            "seed": self._options.seed,
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
            "parameters": self._parameter_count(),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        }
