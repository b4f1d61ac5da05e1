"""How a parameter names something with options: "name" or "name:option=value,option=value"."""

from __future__ import annotations

from macrec.errors import DataError


def split_spec(spec: str, field: str) -> tuple[str, dict[str, str]]:
    """The name and the options of `spec`. Raises DataError, naming the parameter `field`, for what is no option."""
    name, _, rest = spec.partition(":")
    options: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in rest.split(","))):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not (option and equals and value):
            raise DataError(f'"{part}" is no option', field=field, fix=f"write such as {name}:option=1")
        options[option] = value
    return name.strip(), options


def number(options: dict[str, str], name: str, default: float, field: str) -> float:
    """The option `name` as a number. Raises DataError for anything else."""
    try:
        return float(options.get(name, default))
    except ValueError:
        raise DataError(f'"{options[name]}" is no number', field=field, fix=f"write such as {name}=1") from None


def check_options(kind: str, options: dict[str, str], known: list[str], field: str) -> None:
    """Raise DataError for an option that `kind` does not have."""
    for option in options:
        if option not in known:
            fix = f"its options are {', '.join(known)}" if known else "it has no options"
            raise DataError(f'the {field} {kind} has no option "{option}"', field=field, fix=fix)
