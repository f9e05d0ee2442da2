"""What a run is made of: data, network and optimizer, from shards, a recipe and options."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from alexnet_pipeline.alexnet.exchange import TOWERS
from alexnet_pipeline.alexnet.identity import Identity
from alexnet_pipeline.alexnet.metrics import MetricsWriter
from alexnet_pipeline.alexnet.network import AlexNet
from alexnet_pipeline.alexnet.optimizer import make_optimizer
from alexnet_pipeline.alexnet.options import NO_VAL, TrainOptions
from alexnet_pipeline.alexnet.precision import Forward, arithmetic, forward_of, precision_on
from alexnet_pipeline.alexnet.predict import check_alike, validation_loader
from alexnet_pipeline.alexnet.processes import Process
from alexnet_pipeline.alexnet.recipe import NetworkOptions, Recipe, crop_px_of
from alexnet_pipeline.alexnet.run_folder import RunRecord, ShardsRecord, utf8
from alexnet_pipeline.batches.loader import Loader
from alexnet_pipeline.dataset.cache import Stop, check_cache, open_sets
from alexnet_pipeline.dataset.choose import choose_set
from alexnet_pipeline.dataset.manifest import is_finished
from alexnet_pipeline.dataset.open import ShardSet
from alexnet_pipeline.errors import RefusedError
from alexnet_pipeline.progress import Report
from alexnet_pipeline.storage.place import Location, locate


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is made of. Network, optimizer and loaders keep state of their own; the rest is `TrainState`'s.

    Attributes:
        folder: of the run.
        recipe: every number of the training.
        options: how to train.
        process: this one among the others.
        identity: what a resumed run must have in common with this one.
        model: the network.
        forward: runs it, in the run's precision, compiled and averaged over processes as asked.
        unsynced: makes a block whose gradients are not averaged over processes yet.
        validate: runs it without the other processes: where images are few, some processes have none left.
        optimizer: of its parameters.
        loader: of the training set.
        val: loader of the validation set; None without one.
        metrics: writer of the log; None in all but the first process.
        report: gets progress; silent in all but the first process.
    """

    folder: Path
    recipe: Recipe
    options: TrainOptions
    process: Process
    identity: Identity
    model: AlexNet
    forward: Forward
    unsynced: Callable[[], AbstractContextManager[None]]
    validate: Forward
    optimizer: torch.optim.SGD
    loader: Loader
    val: Loader | None
    metrics: MetricsWriter | None
    report: Report

    @property
    def half(self) -> bool:
        """Whether gradients may overflow, so that the loss is scaled."""
        return self.identity.precision == "fp16"

    def is_full(self, step: int) -> bool:
        """Whether the batch of a step is full in every process: all are but the last of an epoch."""
        return (step + 1) % len(self.loader) != 0

    @property
    def micro_batch_images(self) -> int:
        """Images that this process's network takes at a time; an epoch's last batch may leave fewer."""
        return self.recipe.batch_images // (self.process.replica_count * self.options.grad_accum_steps)

    def record(self, command: str) -> RunRecord:
        """What `run.json` says of this run."""
        here = sum(parameter.numel() for parameter in self.model.parameters())
        exchange = self.process.exchange
        return RunRecord(
            command=utf8(command),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            recipe=self.recipe,
            network=self.identity.network,
            parameters=here * TOWERS // (exchange.groups * len(exchange.towers)),
            train=ShardsRecord.of(self.loader.shards),
            val=ShardsRecord.of(self.val.shards) if self.val else None,
            towers=self.process.towers,
            device=str(self.process.device),
            precision=self.identity.precision,
            seed=self.options.seed,
            machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
            python=platform.python_version(),
            torch=str(torch.__version__),
            conversion=self.loader.shards.manifest.options,
            class_words=self.loader.shards.manifest.class_words,
            init_from=utf8(str(self.options.init_from or "")),
        )


def open_splits(
    shards: Location, recipe: Recipe, options: TrainOptions, report: Report, stop: Stop
) -> tuple[ShardSet, ShardSet | None]:
    """Open the training set, and the validation set where there is one; or copies of those in object stores.

    Args:
        shards: the training set, or a folder with train/ and val/.
        recipe: to be trained.
        options: name the validation set, if it is not the one in `shards`, and the folder for copies.
        report: gets progress.
        stop: asked now and then while a copy is fetched.

    Raises:
        RefusedError: there is no training set, the two do not fit together, the recipe needs a validation set, or
            `cache` is missing or has no effect.
        PipelineError: a set cannot be fetched or opened.
        InterruptedRunError: `stop` ended it.
    """
    val = locate(options.val) if options.val and options.val != NO_VAL else None
    check_cache([shards, val] if val else [shards], options.cache)  # before a store is asked
    train_folder, val_folder = find_splits(shards, val)
    if options.val == NO_VAL:
        val_folder = None
    if is_finished(train_folder):  # before it is fetched
        check_schedule(recipe, validated=val_folder is not None)
    if val_folder is None:
        return open_sets([train_folder], options.cache, report, stop)[0], None
    train_set, val_set = open_sets([train_folder, val_folder], options.cache, report, stop)
    trained = train_set.manifest
    check_alike(val_set, trained.classes, trained.options.size_px, str(train_set.origin))
    return train_set, val_set


def check_schedule(recipe: Recipe, *, validated: bool) -> None:
    """Make sure that the learning rate's schedule has the validation that it follows.

    Raises:
        RefusedError: it needs one, and there is none.
    """
    if recipe.schedule == "plateau" and not validated:
        raise RefusedError(
            "the plateau schedule follows the validation error: give `val`, or choose `schedule='steps'`, "
            "`schedule='geometric'` or `schedule='linear'`"
        )


def find_splits(shards: Location, val: Location | None = None) -> tuple[Location, Location | None]:
    """The folders of training and validation set: `shards` itself, or train/ and val/ in it or in its only method.

    Raises:
        RefusedError: `shards` holds several methods.
        PipelineError: a store cannot be asked.
    """
    train = choose_set(shards, "train")
    if train != shards and val is None and is_finished(train.parent / "val"):
        return train, train.parent / "val"
    return train, val


@contextmanager
def prepare(
    folder: Path,
    train_set: ShardSet,
    val_set: ShardSet | None,
    recipe: Recipe,
    options: TrainOptions,
    process: Process,
    report: Report,
) -> Iterator[Run]:
    """Make what a run needs; nothing is written before the first line of metrics."""
    classes, size_px = train_set.manifest.classes, train_set.manifest.options.size_px
    network = recipe.network(len(classes), crop_px_of(recipe, size_px))
    precision = precision_on(process.device, options.precision)
    model = network_of(network, process, options.seed)
    with ExitStack() as stack:
        stack.enter_context(arithmetic(precision, try_kernels=options.cudnn_benchmark))
        loader, val, metrics = _training_loader(train_set, recipe, network.crop_px, options, process), None, None
        stack.enter_context(closing(loader))
        if val_set:
            val = validation_loader(
                val_set, process, crops=1, crop_px=network.crop_px, mean=loader.mean, threads=options.threads
            )
            stack.enter_context(closing(val))
        if process.leads:
            metrics = stack.enter_context(MetricsWriter(folder))
        module = averaged(model, process)
        forward = forward_of(module, process.device, precision, compiled=options.compile)
        alone = forward_of(model, process.device, precision, compiled=options.compile) if process.replicas else forward
        yield Run(
            folder=folder,
            recipe=recipe,
            options=options,
            process=process,
            identity=Identity(
                recipe=recipe,
                network=network,
                seed=options.seed,
                total_steps=options.steps or recipe.epochs * len(loader),
                precision=precision,
                classes=classes,
                training_set=train_set.manifest.digest,
                validation_set=val_set.manifest.digest if val_set else "",
                grad_accum_steps=options.grad_accum_steps,
            ),
            model=model,
            forward=forward,
            unsynced=module.no_sync if isinstance(module, DistributedDataParallel) else nullcontext,
            validate=alone,
            optimizer=make_optimizer(model, recipe),
            loader=loader,
            val=val,
            metrics=metrics,
            report=report,
        )


def _training_loader(shards: ShardSet, recipe: Recipe, crop_px: int, options: TrainOptions, process: Process) -> Loader:
    if recipe.batch_images % process.world:
        raise RefusedError(
            f"`batch_size`: {recipe.batch_images} images cannot be shared equally by {process.world} processes"
        )
    micro, rest = divmod(recipe.batch_images // process.replica_count, options.grad_accum_steps)
    if rest:
        raise RefusedError(
            f"`grad_accum_steps`: {recipe.batch_images // process.replica_count} images of a network cannot be taken "
            f"in {options.grad_accum_steps} equal parts"
        )
    if micro == 1 < options.grad_accum_steps and recipe.norm == "batch":
        raise RefusedError("`grad_accum_steps`: batch normalisation needs at least 2 images at a time")
    return Loader(
        shards,
        batch_size=recipe.batch_images // process.world,
        train=True,
        crop_px=crop_px,
        lighting=recipe.lighting,
        random_crops=recipe.random_crops,
        random_flips=recipe.random_flips,
        mean=recipe.mean,
        channels_last=True,
        device=process.device,
        rank=process.rank,
        world=process.world,
        seed=options.seed,
        decode=options.decode,
        threads=options.threads or process.threads(),
    )


def network_of(options: NetworkOptions, process: Process, seed: int) -> AlexNet:
    """A new network in the memory layout of training batches."""
    model = AlexNet(options, process.exchange, seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def averaged(model: AlexNet, process: Process) -> nn.Module:
    """The network, whose gradients are averaged over replicas where there are any."""
    return DistributedDataParallel(model, process_group=process.replicas) if process.replicas else model
