"""The words of the settings: what a quantity, a name, a time is, and how strictly all of them are read."""

from typing import Annotated, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def _locked(reference: str, info: ValidationInfo) -> str:
    """Return what the stack's `platform:images` says runs under this name, or the name itself."""
    if reference.endswith(":latest"):
        raise ValueError(f"{reference}: latest names a different image each day; give a version or a digest")
    context = cast("dict[str, dict[str, str]]", info.context or {})
    return context.get("images", {}).get(reference, reference)


Quantity = Annotated[
    str, Field(pattern=r"^[1-9]\d*(m|Ki|Mi|Gi|Ti)?$", description="a Kubernetes quantity, like 250m or 64Mi")
]
Fqdn = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$",
        description="a host name, like example.com",
    ),
]
Ipv4 = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}$", description="an IPv4 address, like 10.0.0.1")]
Driver = Annotated[
    str,
    Field(pattern=r"^[a-z0-9]([a-z0-9./-]*[a-z0-9])?$", description="what makes volumes, like ebs.csi.aws.com"),
]
Schedule = Annotated[
    str, Field(pattern=r"^[0-9*/,-]+( [0-9*/,-]+){4}$", description="a time as cron has it, like 0 1 * * 0")
]
Duration = Annotated[str, Field(pattern=r"^[1-9]\d*[smhd]$", description="a time, like 30s, 5m, 6h or 1d")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="a Kubernetes name")]
ImageReference = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9./:_-]*(:\w[\w.-]*|@sha256:[0-9a-f]{64})$",
        description="an image with a tag other than latest, or a digest",
    ),
    AfterValidator(_locked),
]


class Data(BaseModel):
    """A part of a stack's settings: strict, and the same until the end of the run."""

    # Defaults are validated as well, those inside of defaults too: what `platform:images` says is true of them.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, revalidate_instances="always"
    )


Rotation = Annotated[int, Field(ge=1, description="raised by one, all passwords of the tier are replaced")]
