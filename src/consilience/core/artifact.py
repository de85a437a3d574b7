"""Artifacts and candidates' content: files and parameter values, named by their hash.

Rules:
    1. Two artifacts with the same files and parameter values have the same id, wherever they came from.
    2. Paths are relative, use ``/`` and never leave the problem's folder.

Data flow: problem folder or proposer -> Artifact -> blob in the journal, files in the sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from consilience.core.canonical import canonical_bytes, sha256_hex
from consilience.core.problem import ParameterValue


class ArtifactFile(Struct, frozen=True):
    """One text file of an artifact."""

    path: str
    text: str


class Artifact(Struct, frozen=True, kw_only=True):
    """One version of what may change. Files are sorted by path; equal values make equal artifacts."""

    files: tuple[ArtifactFile, ...] = ()
    parameters: dict[str, ParameterValue] = {}

    def text(self, path: str) -> str:
        """Return the text of one file.

        Raises:
            KeyError: the artifact has no such file.
        """
        for file in self.files:
            if file.path == path:
                return file.text
        raise KeyError(path)

    def with_text(self, path: str, text: str) -> Artifact:
        """Return a copy in which one file has another text."""
        files = tuple(ArtifactFile(f.path, text) if f.path == path else f for f in self.files)
        return Artifact(files=files, parameters=self.parameters)

    def with_parameters(self, values: Mapping[str, ParameterValue]) -> Artifact:
        """Return a copy in which some parameters have other values."""
        return Artifact(files=self.files, parameters={**self.parameters, **values})


def artifact_bytes(artifact: Artifact) -> bytes:
    """Return the canonical bytes that are stored as the candidate's blob."""
    return canonical_bytes(artifact)


def artifact_id(artifact: Artifact) -> str:
    """Name an artifact by its content: the id of the candidate that it is."""
    return sha256_hex(artifact_bytes(artifact))


def read_artifact(data: bytes) -> Artifact:
    """Rebuild an artifact from its blob.

    Raises:
        msgspec.DecodeError: the bytes are not an artifact.
    """
    return msgspec.json.decode(data, type=Artifact)
