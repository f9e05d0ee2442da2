"""A comparison's numbers in, three sentences out: what the weights say, what the pictures say, what training says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alexnet_pipeline.comparison.inference import LEVEL
from alexnet_pipeline.comparison.measure.metrics import TIMES
from alexnet_pipeline.comparison.records import Comparison, Measured, PairedTest, Response

# Pairs that are named one by one; more are counted.
NAMED_PAIRS = 3
ERROR, SHIFT = "error_levels", "shift_error_levels"
UNTRAINED = (
    "No network was trained, so nothing here tells which method gives the better accuracy; "
    "`compare --train` measures that."
)
UNTRAINED_SHARDS = (
    "These are differences between stored pictures, encoding included; no network was trained, so nothing here tells "
    "which set gives the better accuracy."
)


def verdict_of(found: Comparison) -> tuple[str, ...]:
    """Three sentences on a comparison.

    Args:
        found: complete but for its own verdict, which is not looked at.
    """
    if found.kind == "shards":
        return (_differences(found), _file_sizes(found), UNTRAINED_SHARDS)
    analytic = _trade_off([method.responses[0] for method in found.methods])
    return (analytic, _errors(found), found.training.finding if found.training else UNTRAINED)


def _trade_off(responses: Sequence[Response]) -> str:
    """Who aliases most and least, and who keeps most, by the weights alone."""
    alias = {each.method: round(each.alias_white_db, 1) + 0.0 for each in responses}
    kept = {each.method: round(100 * each.passband_white) for each in responses}
    head = f"At {responses[0].scale:g} source pixels per output pixel and white input"
    most, least, keeps = max(alias.values()), min(alias.values()), max(kept.values())
    if most == least:
        return f"{head}, all methods alias alike: {most:.1f} dB of what lies above the output's limit stays."
    worst, calmest, sharpest = _at(alias, most), _at(alias, least), _at(kept, keeps)
    share = _span([kept[name] for name in calmest])
    return (
        f"{head}, {_join(worst)} {_verb(worst, 'alias')} most ({most:.1f} dB of what lies above the output's limit "
        f"stays) and {_join(calmest)} least ({least:.1f} dB, with {share} % of the pass band kept); "
        f"{_join(sharpest)} {_verb(sharpest, 'keep')} most of the pass band, {keeps} %."
    )


def _errors(found: Comparison) -> str:
    """Who comes nearest to the ideal low-pass, who cannot be told apart, and who does not differ at all."""
    total = len(found.pictures)
    same = _identical_groups(found)
    alike = [f"{_join(group)} do not differ: all {total:,} pictures are identical" for group in same]
    if len(same) == 1 and len(same[0]) == len(found.methods):
        return f"{alike[0]}."
    entries = _entries(found, ERROR)
    tests = [test for test in found.tests if test.metric == ERROR]
    # Of methods that are identical, the first stands for all.
    hidden = {name for group in same for name in group[1:]}
    shown = {name: entry for name, entry in entries.items() if name not in hidden}
    best = min(shown, key=lambda name: shown[name].mean)
    worst = max(shown, key=lambda name: shown[name].mean)
    test = next(test for test in tests if {test.first, test.second} == {best, worst})
    if test.p_value >= LEVEL:
        first = (
            f"Over {_pictures(total)}, no method's distance from an ideal low-pass differs from another's beyond noise"
        )
    else:
        first = (
            f"Over {_pictures(total)}, {best} comes nearest to an ideal low-pass and {worst} stays farthest: root mean "
            f"square error {shown[best].mean:.2f} against {shown[worst].mean:.2f} levels, {_difference(test)}"
        )
        alike = [*_noise(tests, shown, best), *alike]
    return f"{'; '.join([first, *alike, _steadiest(found, shown)])}."


def _noise(tests: Iterable[PairedTest], shown: Iterable[str], best: str) -> list[str]:
    """Clauses on those pairs whose errors do not differ beyond noise, the best method's first."""
    names = set(shown)
    pairs = [
        (test.first, test.second) for test in tests if test.p_value >= LEVEL and {test.first, test.second} <= names
    ]
    pairs.sort(key=lambda pair: best not in pair)
    told = ", nor between ".join(f"{first} and {second}" for first, second in pairs[:NAMED_PAIRS])
    rest = f", nor in {len(pairs) - NAMED_PAIRS} more pairs" if len(pairs) > NAMED_PAIRS else ""
    return [f"no difference in it beyond noise between {told}{rest}"] if pairs else []


def _steadiest(found: Comparison, shown: Iterable[str]) -> str:
    entries = {name: entry for name, entry in _entries(found, SHIFT).items() if name in set(shown)}
    least = min(entries, key=lambda name: entries[name].mean)
    return (
        f"that error rewards sharpness, and when a picture moves by one source pixel {least} changes least "
        f"({entries[least].mean:.2f} levels)"
    )


def _identical_groups(found: Comparison) -> list[list[str]]:
    """Methods between which no picture differs in anything but time, in the order of the methods."""
    times = set(TIMES)
    different = {(test.first, test.second) for test in found.tests if not test.identical and test.metric not in times}
    groups: list[list[str]] = []
    for method in found.methods:
        for group in groups:
            if (group[0], method.name) not in different:
                group.append(method.name)
                break
        else:
            groups.append([method.name])
    return [group for group in groups if len(group) > 1]


def _differences(found: Comparison) -> str:
    """How far each set's pictures lie from the first set's."""
    first, *others = (method.name for method in found.methods)
    total = len(found.pictures)
    told = []
    for name in others:
        error, most, share, ssim = (
            _entries(found, metric)[name].mean for metric in (ERROR, "most_levels", "differing_share", "ssim")
        )
        if most == 0.0:
            told.append(f"{name} and {first} do not differ: all {total:,} pictures are identical")
        else:
            told.append(
                f"{name} differs from {first} by {error:.2f} levels root mean square, with {100 * share:.1f} % of "
                f"values apart by more than one level, the largest difference of a picture {most:.0f} levels on "
                f"average, and SSIM {ssim:.4f}"
            )
    return f"Over {_pictures(total)}, {'; '.join(told)}."


def _file_sizes(found: Comparison) -> str:
    """Which set takes less room."""
    entries = _entries(found, "file_bytes")
    least = min(entries, key=lambda name: entries[name].mean)
    most = max(entries, key=lambda name: entries[name].mean)
    test = next((t for t in found.tests if t.metric == "file_bytes" and {t.first, t.second} == {least, most}), None)
    if test is None or test.identical:
        return f"All sets take the same room: {entries[least].mean:,.0f} bytes a picture."
    if test.p_value >= LEVEL:
        return f"The sets do not differ in size beyond noise: about {entries[least].mean:,.0f} bytes a picture."
    return (
        f"Pictures of {least} take least room and those of {most} most: {entries[least].mean:,.0f} against "
        f"{entries[most].mean:,.0f} bytes, {_difference(test, 0)}."
    )


def _difference(test: PairedTest, digits: int = 2) -> str:
    """The difference that a test found, told without its sign."""
    low, high = sorted((abs(test.low), abs(test.high))) if test.low * test.high > 0 else (test.low, test.high)
    p_value = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    return f"a difference of {abs(test.difference):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f}, {p_value})"


def _entries(found: Comparison, metric: str) -> dict[str, Measured]:
    """Each method's values of one metric."""
    return {method.name: entry for method in found.methods for entry in method.measured if entry.metric == metric}


def _at(values: dict[str, float] | dict[str, int], value: float) -> list[str]:
    return [name for name, each in values.items() if each == value]


def _join(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _verb(names: Sequence[str], verb: str) -> str:
    return verb if len(names) > 1 else f"{verb}es" if verb.endswith("s") else f"{verb}s"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _pictures(total: int) -> str:
    return "1 picture" if total == 1 else f"{total:,} pictures"
