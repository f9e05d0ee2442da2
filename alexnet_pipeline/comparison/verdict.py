"""The verdict on a comparison: advice, then what it rests on: the weights, the images and trained networks."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence

from alexnet_pipeline.comparison.inference import LEVEL
from alexnet_pipeline.comparison.measure.metrics import TIMES
from alexnet_pipeline.comparison.records import Comparison, MetricMean, PairedTest, Response
from alexnet_pipeline.comparison.summary import means_of
from alexnet_pipeline.text import counted

# Pairs that are named; further ones are counted.
NAMED_PAIRS = 3
ERROR, SHIFT = "error_levels", "shift_error_levels"
# Mean differences that come of rounding alone, as between the same method in two libraries.
ROUNDING_LEVELS = 0.1
# Below this relative difference of scales, what holds for one holds for the other.
NEAR_SCALE = 0.1
UNTRAINED = (
    "No networks were trained, so this report cannot say which method is more accurate. `compare --train` measures it."
)
UNTRAINED_SHARDS = (
    "These are differences between stored images, encoding included. No networks were trained, so this report cannot "
    "say which set gives more accurate networks."
)


def verdict_of(comparison: Comparison) -> tuple[str, ...]:
    """Four paragraphs on a comparison that is complete but for its verdict: advice, and the numbers behind it."""
    if comparison.kind == "shards":
        return (_advice_on_sets(comparison), _differences(comparison), _file_sizes(comparison), UNTRAINED_SHARDS)
    responses = [method.responses[0] for method in comparison.methods]
    trade_off = _trade_off(responses) + _other_scale(comparison, responses[0].scale)
    finding = comparison.training.finding if comparison.training else UNTRAINED
    return (_advice(comparison), trade_off, _errors(comparison), finding)


def _advice(comparison: Comparison) -> str:
    """Which methods to use, as far as the paired tests tell them apart, and what the choice costs."""
    names = [method.name for method in comparison.methods if method.name not in _copies(comparison)]
    if len(names) == 1:
        return "Use any of these methods: they give the same images."
    faithful, stable = _best(comparison, ERROR, names), _best(comparison, SHIFT, names)
    both = [name for name in faithful if name in stable]
    if len(both) == len(names):
        return (
            "Use any of these methods: on these images no two differ clearly, in fidelity or in stability under "
            "shifts. More images may tell them apart."
        )
    if both:
        shifted = "when an image moves by one pixel"
        if faithful == stable == both[:1]:
            why = f"it is clearly the closest to an ideal low-pass, and changes clearly the least {shifted}."
        else:
            why = f"no method is clearly closer to an ideal low-pass, and none changes clearly less {shifted}."
        return f"Use {_join(both, 'or')}: {why}{_lead(comparison, both[0], faithful, stable, names)}"
    first, other = faithful[0], stable[0]
    fidelity, steadiness = _join(faithful, "or"), _join(stable, "or")
    error, shift = (_amount(_test_of(comparison, metric, first, other)) for metric in (ERROR, SHIFT))
    return (
        f"Use {fidelity} for fidelity, {steadiness} for stability under shifts. {other} is {error} further from an "
        f"ideal low-pass than {first}; when an image moves by one pixel, {first} changes {shift} more "
        f"than {other}."
    )


def _best(comparison: Comparison, metric: str, names: Sequence[str]) -> list[str]:
    """The method with the least mean, then those that are not clearly worse, by their means."""
    means = means_of(comparison, metric)
    first, *others = sorted(names, key=lambda name: means[name].mean)
    return [first, *(name for name in others if not _is_clear(_test_of(comparison, metric, first, name)))]


def _is_clear(test: PairedTest) -> bool:
    """Whether a difference is significant, and more than rounding makes of one method in two libraries."""
    return test.p_value < LEVEL and abs(test.difference) >= ROUNDING_LEVELS


def _lead(
    comparison: Comparison, chosen: str, faithful: Collection[str], stable: Collection[str], names: Sequence[str]
) -> str:
    """By how much a method that is best in both respects leads the next that is clearly worse."""
    clauses = []
    for metric, equals, words in ((ERROR, faithful, "in fidelity"), (SHIFT, stable, "in stability")):
        means = means_of(comparison, metric)
        next_best = min((name for name in names if name not in equals), key=lambda name: means[name].mean, default=None)
        test = _test_of(comparison, metric, chosen, next_best) if next_best else None
        if test and _is_clear(test):
            clauses.append(f"{next_best} by {_amount(test)} {words}")
    return f" {chosen} leads {_join(clauses)}." if clauses else ""


def _amount(test: PairedTest) -> str:
    """The size of a difference with its interval, like `4.11 of 255 levels (3.62 to 4.60)`."""
    low, high = sorted((abs(test.low), abs(test.high)))
    return f"{abs(test.difference):.2f} of 255 levels ({low:.2f} to {high:.2f})"


def _copies(comparison: Comparison) -> set[str]:
    """Methods whose images are all identical to those of a method before them."""
    return {name for group in _identical_groups(comparison) for name in group[1:]}


def _advice_on_sets(comparison: Comparison) -> str:
    """Whether one set may stand for another."""
    largest = means_of(comparison, "most_levels")
    if all(mean.mean == 0.0 for mean in largest.values()):
        return "Use any of these sets: they hold the same images."
    return "Do not mix these sets: they hold different images, so train and test with the same one."


def _trade_off(responses: Sequence[Response]) -> str:
    """Which methods alias most and least, and which keep most, by their weights alone."""
    alias = {response.method: round(response.alias_white_db, 1) + 0.0 for response in responses}
    kept = {response.method: round(100 * response.passband_white) for response in responses}
    head = f"At {responses[0].scale:g} source pixels per output pixel and white input"
    most, least, highest = max(alias.values()), min(alias.values()), max(kept.values())
    remains = ": nothing above Nyquist is removed" if most == 0 else " of the energy above Nyquist remains"
    most_text = f"{most:.1f} dB{remains}"
    if most == least:
        return f"{head}, all methods alias equally ({most_text})."
    worst = [name for name in alias if alias[name] == most]
    best = [name for name in alias if alias[name] == least]
    sharpest = [name for name in kept if kept[name] == highest]
    shares = [kept[name] for name in best]
    share = " to ".join(map(str, sorted({min(shares), max(shares)})))
    return (
        f"{head}, {_join(worst)} {'alias' if len(worst) > 1 else 'aliases'} most ({most_text}) and {_join(best)} least "
        f"({least:.1f} dB, with {share} % of the pass band kept); {_join(sharpest)} "
        f"{'keep' if len(sharpest) > 1 else 'keeps'} most of the pass band, {highest} %."
    )


def _other_scale(comparison: Comparison, scale: float) -> str:
    """A sentence where the images are shrunk by another factor than the responses are computed for."""
    scales = [image.scale for image in comparison.images]
    median = statistics.median(scales)
    if abs(median / scale - 1) < NEAR_SCALE:
        return ""
    text = (
        f" This follows from the weights of the methods; the images of this comparison have {median:.3g} source pixels "
        "per output pixel (median)"
    )
    if median < 1:
        enlarged = sum(each < 1 for each in scales)
        text += f", and {enlarged:,} of {len(scales):,} are enlarged, so they say little about downsampling"
    return f"{text}."


def _errors(comparison: Comparison) -> str:
    """Which method is closest to the ideal low-pass, which do not differ significantly, and which not at all."""
    total = len(comparison.images)
    groups = _identical_groups(comparison)
    identical = [f"{_join(group)} do not differ: {_all_identical(total)}" for group in groups]
    if len(groups) == 1 and len(groups[0]) == len(comparison.methods):
        return f"{identical[0]}."
    # Of methods that are identical, the first stands for all.
    hidden = _copies(comparison)
    means = {name: mean for name, mean in means_of(comparison, ERROR).items() if name not in hidden}
    best, worst = _extremes(means)
    test = _test_of(comparison, ERROR, best, worst)
    if test.p_value >= LEVEL:
        first = "no two methods differ significantly in their distance from an ideal low-pass"
    else:
        first = (
            f"{best} comes closest to an ideal low-pass and {worst} is farthest from it: root mean square error "
            f"{means[best].mean:.2f} against {means[worst].mean:.2f} levels, {_difference(test)}"
        )
        identical = [*_insignificant(comparison, means, best), *identical]
    moved = means_of(comparison, SHIFT)
    steadiest = min(means, key=lambda name: moved[name].mean)
    last = (
        f"this error rewards sharpness, and when an image moves by one source pixel {steadiest} changes least "
        f"({moved[steadiest].mean:.2f} levels)"
    )
    return f"Over {counted(total, 'image')}, {'; '.join([first, *identical, last])}."


def _insignificant(comparison: Comparison, shown: Collection[str], best: str) -> list[str]:
    """A clause on the pairs whose errors do not differ significantly, those of the best method first."""
    tests = [test for test in comparison.tests if test.metric == ERROR and test.p_value >= LEVEL]
    pairs = [(test.first, test.second) for test in tests if test.first in shown and test.second in shown]
    pairs.sort(key=lambda pair: best not in pair)
    named = ", nor between ".join(f"{first} and {second}" for first, second in pairs[:NAMED_PAIRS])
    more = len(pairs) - NAMED_PAIRS
    rest = f", nor in {counted(more, 'more pair')}" if more > 0 else ""
    return [f"the error does not differ significantly between {named}{rest}"] if pairs else []


def _identical_groups(comparison: Comparison) -> list[list[str]]:
    """Groups of methods that agree on every image in everything but time, in the order of the methods."""
    different = {
        (test.first, test.second) for test in comparison.tests if not test.identical and test.metric not in TIMES
    }
    groups: dict[str, list[str]] = {}
    for name in (method.name for method in comparison.methods):
        head = next((head for head in groups if (head, name) not in different), name)
        groups.setdefault(head, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _differences(comparison: Comparison) -> str:
    """How far the images of each set are from those of the first."""
    first, *others = (method.name for method in comparison.methods)
    total = len(comparison.images)
    clauses = []
    for name in others:
        error, largest, share, ssim = (
            means_of(comparison, metric)[name].mean for metric in (ERROR, "most_levels", "differing_share", "ssim")
        )
        if largest == 0.0:
            clauses.append(f"{name} and {first} do not differ: {_all_identical(total)}")
        else:
            clauses.append(
                f"{name} differs from {first} by {error:.2f} levels (root mean square); {100 * share:.1f} % of values "
                f"differ by more than one level, the largest difference within an image is {largest:.0f} levels on "
                f"average, and SSIM is {ssim:.4f}"
            )
    return f"Over {counted(total, 'image')}, {'; '.join(clauses)}."


def _file_sizes(comparison: Comparison) -> str:
    """Which set takes least space."""
    means = means_of(comparison, "file_bytes")
    least, most = _extremes(means)
    if means[least].mean == means[most].mean:
        return f"All sets take the same space: {means[least].mean:,.0f} bytes per image."
    test = _test_of(comparison, "file_bytes", least, most)
    if test.p_value >= LEVEL:
        return f"The sets do not differ significantly in size: about {means[least].mean:,.0f} bytes per image."
    return (
        f"Images of {least} take least space and those of {most} most: {means[least].mean:,.0f} against "
        f"{means[most].mean:,.0f} bytes, {_difference(test, 0)}."
    )


def _extremes(means: Mapping[str, MetricMean]) -> tuple[str, str]:
    """Two methods: one with the least mean, and of the others one with the highest."""
    least = min(means, key=lambda name: means[name].mean)
    return least, max((name for name in means if name != least), key=lambda name: means[name].mean)


def _test_of(comparison: Comparison, metric: str, first: str, second: str) -> PairedTest:
    pair = {first, second}
    return next(test for test in comparison.tests if test.metric == metric and {test.first, test.second} == pair)


def _difference(test: PairedTest, digits: int = 2) -> str:
    """The size of the difference between two methods, with its interval."""
    low, high = sorted((abs(test.low), abs(test.high))) if test.low * test.high > 0 else (test.low, test.high)
    p_value = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    return f"a difference of {abs(test.difference):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f}, {p_value})"


def _join(names: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _all_identical(total: int) -> str:
    return "the only image is identical" if total == 1 else f"all {total:,} images are identical"
