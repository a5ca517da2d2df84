"""What is wrong with a stack's settings, said so that it can be put right: the file, the key, the value, what is known."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def explain(model: type[BaseModel], file: str, complaint: ErrorDetails) -> str:
    """Return one line about a complaint of pydantic's."""
    location, kind = complaint["loc"], complaint["type"]
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        known = list(_model_at(model, location[:-1]).model_fields)
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{file}: platform:settings: {key}: unknown setting; {hint}"
    if kind == "missing":
        return f"{file}: platform:settings: {key}: required, and missing"
    message = complaint["msg"].removeprefix("Value error, ")
    described = _description(model, location)
    expected = f" ({described})" if described else ""
    return (
        f"{file}: platform:settings: {key}: {complaint['input']!r}: {message}{expected}"
        if kind != "value_error"
        else f"{file}: platform:settings: {key}: {message}"
    )


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model whose fields a location names."""
    for part in location:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = _models_in(annotation)
    return model


def _models_in(annotation: Any) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_models_in(argument) for argument in get_args(annotation) if argument is not Ellipsis)


def _description(model: type[BaseModel], location: tuple[int | str, ...]) -> str | None:
    try:
        return _model_at(model, location[:-1]).model_fields[str(location[-1])].description
    except (KeyError, StopIteration):
        return None
