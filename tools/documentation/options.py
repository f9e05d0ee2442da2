"""An extension of griffe: functions with declared options show all of them, with their defaults and descriptions.

Griffe reads source text, where such a function ends in `**options`. What `takes_options` makes of it is known only when
the package is imported.
"""

from __future__ import annotations

import inspect
from typing import Any

import griffe

KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: griffe.ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


class DeclaredOptions(griffe.Extension):
    """Replaces signature and docstring of functions decorated with `takes_options`."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Take both from the imported function; annotations that the source has stay."""
        if not any("takes_options" in str(decorator.value) for decorator in func.decorators):
            return
        live = griffe.dynamic_import(func.path)
        written = {parameter.name: parameter.annotation for parameter in func.parameters}
        func.parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    each.name,
                    kind=KINDS[each.kind],
                    annotation=written.get(each.name),
                    default=None if each.default is each.empty else repr(each.default),
                )
                for each in inspect.signature(live).parameters.values()
            )
        )
        if func.docstring and live.__doc__:
            func.docstring.value = inspect.cleandoc(live.__doc__)
