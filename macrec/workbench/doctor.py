"""What is installed, what is missing, and what would be used."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from macrec.encoders import EmbeddingStore, available
from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.parameters import declared_parameters
from macrec.workbench.run import project_root


@dataclass(frozen=True)
class Package:
    """One requirement: `installed` is the installed version or None, `fits` whether it satisfies `wanted`."""

    name: str
    wanted: str
    installed: str | None
    extra: str | None

    @property
    def fits(self) -> bool:
        """Whether the installed version satisfies the requirement."""
        return self.installed is not None and Requirement(f"{self.name}{self.wanted}").specifier.contains(
            self.installed, True
        )


def packages() -> list[Package]:
    """The requirements of pyproject.toml, extras included, and the installed versions."""
    wanted = []
    for line in requires("macrec") or []:
        requirement = Requirement(line)
        if requirement.name == "macrec":
            continue
        extra = str(requirement.marker).partition("extra == ")[2].strip("\"'") or None if requirement.marker else None
        try:
            installed: str | None = version(requirement.name)
        except PackageNotFoundError:
            installed = None
        wanted.append(Package(requirement.name, str(requirement.specifier), installed, extra))
    return wanted


def device() -> str:
    """What torch would compute on, in words."""
    import torch

    if torch.cuda.is_available():
        return f"GPU: {torch.cuda.get_device_name()} (torch {torch.__version__})"
    if torch.backends.mps.is_available():
        return f"GPU: Apple Metal (torch {torch.__version__})"
    count = torch.get_num_threads()
    return f"CPU with {count} thread{'' if count == 1 else 's'} (torch {torch.__version__})"


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0


def examine() -> dict[str, Any]:
    """The whole picture as plain values, ready for json.dump."""
    store = EmbeddingStore()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "environment": sys.prefix,
        "device": device(),
        "project": str(project_root()),
        "cache": {"folder": str(store.root), "bytes": folder_size(store.root), "entries": len(store.entries())},
        "packages": [{**vars(package), "fits": package.fits} for package in packages()],
        "encoders": [entry._asdict() for entry in available()],
        "default_encoders": default_encoders(),
        "browser": next(
            (path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None
        ),
    }


def default_encoders() -> dict[str, str]:
    """The default encoders of the notebooks: modality → encoder."""
    parameters = declared_parameters(find_notebooks(["02_embeddings"])[0])
    return {modality: parameters[f"{modality}_encoder"] for modality in ("text", "image")}


def sentences(report: dict[str, Any]) -> list[str]:
    """The report for a person, one finding a line; what needs doing comes last."""
    lines = [
        f"Python {report['python']} on {report['system']}, in {report['environment']}",
        f"Computes on {report['device']}",
        f"Project {report['project']}",
        f"Cache {report['cache']['folder']}: {report['cache']['entries']} embeddings, "
        f"{report['cache']['bytes'] / 1e6:.1f} MB",
        "",
    ]
    core = [entry for entry in report["packages"] if entry["extra"] is None]
    fitting = [entry for entry in core if entry["fits"]]
    lines.append(f"Packages: {len(fitting)} of {len(core)} required ones fit")
    for entry in report["packages"]:
        if entry["fits"]:
            continue
        state = "is missing" if entry["installed"] is None else f"is {entry['installed']}, wanted {entry['wanted']}"
        target = f'".[{entry["extra"]}]"' if entry["extra"] else "."
        lines.append(f"  {entry['name']} {state}: pip install -c constraints.txt -e {target}")
    used = ", ".join(f"{name} for {modality}" for modality, name in report["default_encoders"].items())
    lines += ["", f"Encoders (the notebooks use {used})"]
    for entry in report["encoders"]:
        lines.append(
            f"  {entry['spec']:26} {entry['modality']:6} {'needs ' + entry['missing'] if entry['missing'] else 'ready'}"
        )
    return lines
