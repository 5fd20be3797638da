"""The base of every section: closed, frozen, and able to read its secrets from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator


def is_secret(annotation: Any) -> bool:
    """Whether a field of this type is a secret, optional or not."""
    if annotation is SecretStr:
        return True
    return get_origin(annotation) is not None and SecretStr in get_args(annotation)


def is_optional(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


class Section(BaseModel):
    """Unknown names are errors. ``<secret>_file`` names a file whose text, without the last line end, is the
    secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        read = dict(data)
        for name, field in cls.model_fields.items():
            if not is_secret(field.annotation):
                continue
            path = read.pop(f"{name}_file", None)
            if path is None:
                continue
            if read.get(name) is not None:
                raise ValueError(f"{name} and {name}_file are both set")
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{name}_file cannot be read: {error}") from None
            text = text.rstrip("\r\n")
            if not text:
                raise ValueError(f"{name}_file is empty: {path}")
            read[name] = text
        return read


__all__ = ["Section", "is_optional", "is_secret"]
