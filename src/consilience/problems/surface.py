"""The mutable surface of a problem: artifact files with their regions, read once.

Rules:
    1. A file with EVOLVE-BLOCK markers may change inside them only; its fixed text is hashed.
    2. A Python file must parse as given: a baseline that cannot run compares with nothing.
"""

from __future__ import annotations

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.blocks import fixed_text, has_markers, marker_fault
from consilience.core.canonical import sha256_hex
from consilience.core.errors import ProblemError
from consilience.core.problem import Parameter, Surface, SurfaceFile
from consilience.problems.sources import check_python


def surface_file(path: str, text: str, where: tuple[str, str]) -> SurfaceFile:
    """Describe one file that may change.

    Raises:
        ProblemError: unbalanced markers, or Python that does not parse.
    """
    if fault := marker_fault(text):
        hint = f"pair each EVOLVE-BLOCK-START in {path} with one EVOLVE-BLOCK-END, without nesting"
        raise ProblemError(*where, found=f"{path!r} with {fault}", expected="balanced markers", hint=hint)
    check_python(text, path, where)
    if not has_markers(text):
        return SurfaceFile(path=path, region="whole")
    return SurfaceFile(path=path, region="blocks", fixed=sha256_hex(fixed_text(text).encode()))


def make_surface(
    texts: dict[str, str], parameters: tuple[Parameter, ...], where: tuple[str, str]
) -> tuple[Surface, Artifact]:
    """Return the surface and the artifact as given, files sorted by path.

    Raises:
        ProblemError: a file has unbalanced markers or does not parse.
    """
    paths = sorted(texts)
    surface = Surface(files=tuple(surface_file(path, texts[path], where) for path in paths), parameters=parameters)
    files = tuple(ArtifactFile(path, texts[path]) for path in paths)
    return surface, Artifact(files=files, parameters={p.name: p.default for p in parameters})
